"""What a host lets a message choose, and the build that comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlgate.orchestration.admission.identity import (
    already_judged,
    build_key,
    different_body,
    pipeline_address,
)
from mlgate.orchestration.admission.new_build import new_build
from mlgate.orchestration.admission.policy import HostPolicy, check
from mlgate.orchestration.builds import Build, Phase, PipelineAddress, RepositoryRequest, Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.wire.messages import LookMessage, message_of, read
from tests.unit.orchestration.wire.samples import (
    PROPERTIES,
    body,
    findings_of,
    places,
    request,
    start,
    training_run,
    wrapped,
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


def built(
    raw: dict[str, Any],
    policy: HostPolicy = LOCAL,
    address: PipelineAddress | None = None,
    enqueued_at: datetime | None = None,
) -> Build:
    found = read(body(raw))
    message = found.message()
    assert not isinstance(message, LookMessage)
    envelope = Envelope(body(raw), {}, "m", enqueued_at=enqueued_at)
    return new_build(message, found, policy, address, envelope, NOW)


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
    found = pipeline_address(PROPERTIES)
    assert found is not None
    build = built(raw, AZURE, found[0])
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


@pytest.mark.parametrize(
    "raw",
    [
        {"version": 1, "kind": "promote", "model": "churn", "build": "7", "run": "train"},
        {"version": 1, "kind": "rollback", "model": "churn", "to": 41, "reason": "so"},
    ],
    ids=lambda raw: str(raw["kind"]),
)
def test_a_kind_that_runs_nothing_becomes_a_build_as_any(raw: dict[str, Any]) -> None:
    found = pipeline_address(PROPERTIES)
    assert found is not None
    build = built(raw | {"build_id": "8", "attempt": 2, "deadline_minutes": 9}, AZURE, found[0])
    assert build.key == build_key(found[0], 2, "m")
    assert (build.kind, build.is_check, build.build_id) == (raw["kind"], False, "8")
    assert (build.repository, build.subject, build.runs) == (None, "churn", ())
    assert (build.backend, build.workspace) == ("azureml", "s/g/own")
    assert build.deadline == NOW + timedelta(minutes=9)
    assert message_of(build.request) == read(body(dict(build.request))).message()


def test_a_build_says_of_which_kind_it_is() -> None:
    assert built(request()).kind == built(request(kind="start")).kind == "start"
    check_alone = request(kind="check")
    del check_alone["runs"]
    assert built(check_alone).is_check
    assert built(request()).subject == request()["repository"]["url"]


def test_a_build_without_a_build_id_shows_its_key() -> None:
    build = built(request())
    assert build.build_id == build.key == build_key(None, 1, "m")
    assert (build.backend, build.workspace) == ("local", None)


def test_the_remembered_request_reads_as_the_same_message() -> None:
    raw = request(training_run(name="t", timeout_minutes=0.5))
    assert message_of(built(raw).request) == read(body(raw)).message()


def test_what_is_wrong_between_the_runs_is_told_before_anything_is_fetched() -> None:
    found = findings_of(built, request(training_run(name="t", needs=["t"])))
    assert places(found) == {("cycle", "/runs/0/needs")}


def test_the_longest_deadline_can_be_counted() -> None:
    assert built(request(deadline_minutes=527040)).deadline > NOW


def test_the_time_in_the_queue_counts_towards_the_deadline() -> None:
    build = built(request(deadline_minutes=90), enqueued_at=NOW - timedelta(hours=2))
    assert (build.received_at, build.deadline) == (NOW, NOW - timedelta(minutes=30))


def test_a_build_remembers_what_it_was_asked_with() -> None:
    raw = request(build_id="7", attempt=2)
    build = built(raw)
    reordered = dict(reversed(raw.items()))
    assert build.message_id == "m"
    assert build.body == built(reordered).body == read(wrapped(json.dumps(raw))).fingerprint
    assert build.body != built(raw | {"build_id": "8"}).body


@pytest.mark.parametrize(
    ("make", "code"), [(already_judged, "already-judged"), (different_body, "different-body")]
)
def test_an_identity_used_twice_has_its_remedy(make: Callable[[Build], Finding], code: str) -> None:
    build = replace(built(request(attempt=3)), verdict=Verdict.FAILED, reason="train failed.")
    found = make(build)
    assert found.code == code
    assert "attempt 3" in found.message.lower()
    assert '"attempt": $(System.JobAttempt)' in found.remedy
    assert code == "different-body" or "failed: train failed." in found.message


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
