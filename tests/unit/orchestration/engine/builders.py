"""Small builders of the values that the pure functions take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlgate.orchestration.builds import Build, Phase, RepositoryRequest, RunState
from mlgate.orchestration.runs import (
    Failure,
    FailureKind,
    Outcome,
    RunKind,
    RunSpec,
    RunStatus,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def spec(name: str, **changes: Any) -> RunSpec:
    return replace(RunSpec(name=name, kind=RunKind.TRAINING, command="true"), **changes)


def run(name: str, **changes: Any) -> RunState:
    needs = changes.pop("needs", ())
    retries = changes.pop("retries", 0)
    return RunState(spec(name, needs=needs, retries=retries), **changes)


def build(*runs: RunState, **changes: Any) -> Build:
    start = Build(
        key="0123456789abcdef0123",
        build_id="7",
        request={"deadline_minutes": 60},
        repository=RepositoryRequest("/somewhere"),
        backend="local",
        received_at=NOON,
        deadline=NOON + timedelta(minutes=60),
        phase=Phase.WATCHING,
        host="here",
        commit="c" * 40,
        snapshot="snapshot",
        runs=runs,
    )
    return replace(start, **changes)


def passed(name: str, **changes: Any) -> RunState:
    return run(name, status=RunStatus.SUCCEEDED, submitted=True, ended=True, **changes)


def failed(name: str, kind: FailureKind = FailureKind.CODE, **changes: Any) -> RunState:
    failure = Failure(kind, "it broke", cell=changes.pop("cell", None))
    return run(
        name, status=RunStatus.FAILED, submitted=True, ended=True, failure=failure, **changes
    )


def outcome(kind: FailureKind | None = None, **changes: Any) -> Outcome:
    if kind is None:
        return replace(Outcome(RunStatus.SUCCEEDED), **changes)
    return replace(Outcome(RunStatus.FAILED, failure=Failure(kind, "it broke")), **changes)
