"""What `mlgate doctor` says of settings that cannot be used, and of a host that allows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handlers.repository_handler.checks import examinations
from mlgate.hosts.diagnosis import diagnose
from mlgate.orchestration.checks import examine


@pytest.mark.parametrize(
    ("name", "value", "says", "remedy"),
    [
        (
            "MLGATE_BACKEND",
            "gpu",
            "MLGATE_BACKEND: 'gpu' is unknown.",
            "Correct MLGATE_BACKEND: choose from local, azureml.",
        ),
        (
            "MLGATE_BACKEND",
            "local; azureml",
            "MLGATE_BACKEND: 'local; azureml' is unknown.",
            "Correct MLGATE_BACKEND: choose from local, azureml.",
        ),
        (
            "MLGATE_ENVIRONMENT",
            "mine",
            "MLGATE_ENVIRONMENT: 'mine' has no version.",
            "Correct MLGATE_ENVIRONMENT: write name:version.",
        ),
        (
            "MLGATE_ENVIRONMENT",
            "it's; mine",
            'MLGATE_ENVIRONMENT: "it\'s; mine" has no version.',
            "Correct MLGATE_ENVIRONMENT: write name:version.",
        ),
        (
            "MLGATE_MODELS",
            "ftp://example.org/models",
            "MLGATE_MODELS: 'ftp://example.org/models' is not the URL of a blob container.",
            "Correct MLGATE_MODELS: write it as https://ACCOUNT.blob.core.windows.net/CONTAINER.",
        ),
        (
            "MLGATE_SERVICES",
            "https://example.org/=NOT_SET",
            "MLGATE_SERVICES: the variable that entry 1 names is not set.",
            "Correct MLGATE_SERVICES: set that variable.",
        ),
    ],
)
def test_a_wrong_setting_has_what_is_wrong_and_what_to_do(
    name: str,
    value: str,
    says: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert diagnose(None, as_json=False) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(f"✗ settings {says} {remedy}")


def test_a_host_without_a_queue_has_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(None, as_json=True) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    for name in ("queue-receive", "queue-send"):
        assert found[name]["says"] == (
            "serviceBusConnectionString: neither it nor "
            "serviceBusConnectionString__fullyQualifiedNamespace is set."
        )
        assert found[name]["remedy"].startswith(
            "Correct serviceBusConnectionString: set one of them; "
        )


def test_settings_that_are_wrong_are_one_name_in_the_conclusion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLGATE_BACKEND", "gpu")
    monkeypatch.setenv("MLGATE_ENVIRONMENT", "mine")
    assert diagnose(None, as_json=False) == 1
    assert capsys.readouterr().out.endswith("\n2 of 2 checks found something wrong: settings.\n")


@pytest.mark.parametrize(("allowed", "warned"), [((), True), (("https://example.org/",), False)])
def test_a_host_that_allows_no_repository_is_told_so(
    tmp_path: Path, allowed: tuple[str, ...], warned: bool
) -> None:
    tried = examinations(
        None,
        home=tmp_path,
        allowed=allowed,
        credentials=(),
        host_identity=None,
        collection=None,
        token=None,
    )
    for check in examine(tried):
        assert ("a worker here rejects every repository" in check.says) is warned
        assert "give --repository URL" in check.says
