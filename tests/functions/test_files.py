"""host.json and the example of local settings, against the code that they are for."""

from __future__ import annotations

import inspect
import json
from datetime import timedelta

from handlers.repository_handler import RepositoryHandler
from mlgate.hosts.settings import Settings
from tests.functions.conftest import ROOT


def test_a_checkout_fits_into_an_invocation_and_an_invocation_into_its_lock() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    invocation = span(host["functionTimeout"])
    checkout = timedelta(seconds=inspect.signature(RepositoryHandler).parameters["timeout"].default)
    assert checkout < invocation
    assert span(host["extensions"]["serviceBus"]["maxAutoLockRenewalDuration"]) >= invocation


def test_the_example_of_local_settings_names_what_a_function_app_needs() -> None:
    values = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    settings = Settings.read(values, in_functions=True)
    assert settings.policy.allowed_collections
    assert settings.policy.allowed_repositories
    assert settings.policy.workspace
    assert settings.builds.startswith("https://")


def span(text: str) -> timedelta:
    hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
