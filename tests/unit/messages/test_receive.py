"""What a host lets a message choose, and the build that comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlgate.orchestration.builds import Phase, RepositoryRequest
from mlgate.orchestration.hostpolicy import HostPolicy, check
from mlgate.orchestration.identity import build_key, pipeline_address
from mlgate.orchestration.messages import StartMessage, parse
from mlgate.orchestration.receive import new_build
from tests.unit.messages.samples import (
    PROPERTIES,
    body,
    findings_of,
    places,
    request,
    start,
    training_run,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WORKSPACE = {"subscription_id": "s", "resource_group": "g", "name": "w"}
ALLOWED = (request()["repository"]["url"],)
LOCAL = HostPolicy(
    allowed_collections=("https://dev.azure.com/contoso",), allowed_repositories=ALLOWED
)
AZURE = HostPolicy(
    backend="azureml",
    workspace="s/g/own",
    allowed_workspaces=("S/G/W",),
    allowed_repositories=ALLOWED,
)
BOTH = HostPolicy(allowed_backends=("azureml",), allowed_repositories=ALLOWED)


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, LOCAL),
        ({"backend": "local"}, LOCAL),
        ({"workspace": WORKSPACE}, LOCAL),
        ({}, AZURE),
        ({"workspace": WORKSPACE}, AZURE),
        ({"workspace": WORKSPACE | {"name": "OWN"}}, AZURE),
        ({"backend": "local"}, BOTH),
    ],
)
def test_what_the_host_allows_is_no_finding(fields: dict[str, Any], policy: HostPolicy) -> None:
    assert check(start(**fields), policy, None) == []


@pytest.mark.parametrize(
    ("fields", "policy", "code", "pointer", "setting"),
    [
        (
            {"backend": "azureml"},
            LOCAL,
            "backend-not-allowed",
            "/backend",
            "MLGATE_ALLOWED_BACKENDS",
        ),
        ({"backend": "local"}, AZURE, "backend-not-allowed", "/backend", "MLGATE_ALLOWED_BACKENDS"),
        ({"backend": "azureml"}, BOTH, "no-workspace", "/workspace", "MLGATE_WORKSPACE"),
        (
            {"backend": "azureml", "workspace": WORKSPACE},
            BOTH,
            "workspace-not-allowed",
            "/workspace",
            "MLGATE_ALLOWED_WORKSPACES",
        ),
    ],
)
def test_what_the_host_does_not_allow_is_a_finding_that_names_the_setting(
    fields: dict[str, Any], policy: HostPolicy, code: str, pointer: str, setting: str
) -> None:
    found = check(start(**fields), policy, None)
    assert places(found) == {(code, pointer)}
    assert setting in found[0].remedy


def test_a_collection_must_be_allowed() -> None:
    found = pipeline_address(PROPERTIES)
    assert found is not None
    assert check(start(), LOCAL, found[0]) == []
    refused = check(start(backend="azureml"), HostPolicy(), found[0])
    assert places(refused) == {
        ("collection-not-allowed", "/application-properties/PlanUrl"),
        ("backend-not-allowed", "/backend"),
        ("repository-not-allowed", "/repository/url"),
    }
    assert any("MLGATE_ALLOWED_COLLECTIONS" in each.remedy for each in refused)


def test_a_new_build_holds_what_was_asked_for() -> None:
    raw = request(build_id="1234", attempt=2, deadline_minutes=90, workspace=WORKSPACE)
    raw["repository"] |= {"ref": "main", "subdirectory": "ml", "lfs": True}
    message = parse(body(raw))
    assert isinstance(message, StartMessage)
    found = pipeline_address(PROPERTIES)
    assert found is not None
    build = new_build(message, raw, AZURE, found[0], "m", NOW)
    assert build.key == build_key(found[0], 2, "m")
    assert build.build_id == "1234"
    assert build.repository == RepositoryRequest(
        raw["repository"]["url"], ref="main", subdirectory="ml", lfs=True
    )
    assert (build.backend, build.workspace) == ("azureml", "s/g/w")
    assert (build.received_at, build.deadline) == (NOW, NOW + timedelta(minutes=90))
    assert build.pipeline == found[0]
    assert build.phase is Phase.RECEIVED
    assert build.runs == ()
    assert build.request == raw
    assert "made-up-token" not in repr(build)


def test_a_build_without_a_build_id_shows_its_key() -> None:
    build = new_build(start(), request(), LOCAL, None, "m", NOW)
    assert build.build_id == build.key == build_key(None, 1, "m")
    assert (build.backend, build.workspace) == ("local", None)


def test_the_remembered_request_reads_as_the_same_message() -> None:
    raw = request(training_run(name="t", timeout_minutes=0.5))
    message = parse(body(raw))
    assert isinstance(message, StartMessage)
    build = new_build(message, raw, LOCAL, None, "m", NOW)
    assert parse(body(build.request)) == message


def test_what_is_wrong_between_the_runs_is_told_before_anything_is_fetched() -> None:
    message = start(training_run(name="t", needs=["t"]))
    found = findings_of(new_build, message, {}, LOCAL, None, "m", NOW)
    assert places(found) == {("cycle", "/runs/0/needs")}


def test_the_longest_deadline_can_be_counted() -> None:
    build = new_build(start(deadline_minutes=527040), {}, LOCAL, None, "m", NOW)
    assert build.deadline > NOW


@pytest.mark.parametrize(
    ("url", "allowed", "fine"),
    [
        ("https://dev.azure.com/contoso/p/_git/r", "https://dev.azure.com/contoso/", True),
        ("https://contoso@dev.azure.com/contoso/p/_git/r", "https://dev.azure.com/contoso", True),
        ("https://dev.azure.com/contoso-evil/p/_git/r", "https://dev.azure.com/contoso", False),
        ("ssh://git@github.com/contoso/r", "ssh://git@github.com/contoso", True),
        ("/srv/repositories/r", "/srv/repositories", True),
        ("/srv/repositories", "/srv/repositories/", True),
        ("/srv/repositories-evil/r", "/srv/repositories", False),
        ("/srv/repositories/../r", "/srv/repositories", False),
        ("/srv/r", "/", True),
        ("/srv/r", "https://dev.azure.com/", False),
    ],
)
def test_repositories_are_the_hosts_choice(url: str, allowed: str, fine: bool) -> None:
    policy = HostPolicy(allowed_repositories=(allowed,))
    found = check(start(repository={"url": url}), policy, None)
    assert places(found) == (set() if fine else {("repository-not-allowed", "/repository/url")})
