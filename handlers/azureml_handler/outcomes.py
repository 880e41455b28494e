"""How an attempt ended: Azure ML's word, and the launcher's where Azure ML's allows for it.

A launcher's success counts only in a job that completed. What the platform did on its own (a
limit, a cancel, a lost node) it tells in the run's history, in words more than in codes: the
patterns below are from recordings and from the service's documentation of job errors
(learn.microsoft.com, "Troubleshoot ... job errors").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlgate.orchestration.launching import ENDED_FROM_OUTSIDE, Record, bounded, time_of
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, RunSpec, RunStatus

_GONE = "The job is not in the workspace any more: it was deleted there."
_FINALIZED_TOO_LONG = (
    "Azure ML ended the job at its limit while it was uploading what the run left. The run itself "
    "took less: raise timeout_minutes, or keep fewer files."
)
_SLACK = timedelta(seconds=5)  # between two clocks

_REASONS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (FailureKind.PREEMPTED, r"preempt|\bevict|low.?priority node|\bspot\b"),
        (
            FailureKind.OUT_OF_MEMORY,
            r"out of memory|\bOOM|exit(ed with)? code:? 137\b|memory limit",
        ),
        (
            FailureKind.ENVIRONMENT,
            r"image build|ImageBuild|EnvironmentBuild|failed to build|\bconda\b|docker image",
        ),
        (FailureKind.DATA, r"ScriptExecution\.StreamAccess|DataAccess|\bmount.*(fail|not found)"),
    )
)


def outcome(spec: RunSpec, run: Mapping[str, Any] | None, claimed: bytes | None) -> Outcome:
    """The outcome without its files; `run` is the `runMetadata`, `claimed` outcome.json's content.

    Never raises for what a run wrote.
    """
    if run is None:
        return Outcome(RunStatus.FAILED, failure=Failure(FailureKind.INFRASTRUCTURE, _GONE))
    record = Record.read(claimed)
    started = began(run)
    finished = time_of(_utc(run.get("endTimeUtc")))
    status, failure = _verdict(spec, run, record, started, finished)
    return Outcome(
        status=status,
        # The launcher's are the execution's own; the job's hold what Azure ML did around it.
        started_at=record.started_at or started,
        finished_at=record.finished_at or finished,
        failure=failure,
        metrics=record.metrics or {},
        warnings=record.warnings,
    )


def began(run: Mapping[str, Any]) -> datetime | None:
    """When the run began to execute, if it has."""
    return time_of(_utc(run.get("startTimeUtc")))


def _verdict(
    spec: RunSpec,
    run: Mapping[str, Any],
    record: Record,
    started: datetime | None,
    finished: datetime | None,
) -> tuple[RunStatus, Failure | None]:
    status, error = run.get("status"), _error(run)
    if status == "Canceled":
        limit = timedelta(minutes=spec.timeout_minutes)
        executed = record.status in ("succeeded", "failed") and record.finished_at
        if started and finished and finished - started + _SLACK >= limit:
            if executed and executed - started + _SLACK < limit:
                return RunStatus.FAILED, Failure(FailureKind.INFRASTRUCTURE, _FINALIZED_TOO_LONG)
            told = record.failure
            message = f"The run exceeded its limit of {spec.timeout_minutes:g} minutes."
            return RunStatus.FAILED, Failure(
                FailureKind.TIMEOUT,
                message,
                told.cell if told else None,
                told.traceback if told else None,
            )
        return RunStatus.CANCELED, None
    if status == "Completed" and record.status == "succeeded":
        return RunStatus.SUCCEEDED, None
    if status == "Failed" and record.status == "failed" and record.failure:
        return RunStatus.FAILED, record.failure
    return RunStatus.FAILED, _unexplained(str(status), error, record)


def _unexplained(status: str, error: str, record: Record) -> Failure:
    """Why a job ended without an outcome that holds, as far as Azure ML tells."""
    for kind, pattern in _REASONS:
        if pattern.search(error):
            return Failure(kind, error)
    if record.status == "canceled":
        return Failure(FailureKind.INFRASTRUCTURE, f"{ENDED_FROM_OUTSIDE} {error}".strip())
    said = error or "Azure ML gives no reason."
    return Failure(
        FailureKind.INFRASTRUCTURE, f"The job ended as {status} with no valid outcome. {said}"
    )


def _error(run: Mapping[str, Any]) -> str:
    """The error in a run's history: code and message, on one line."""
    found = run.get("error")
    inner = found.get("error") if isinstance(found, Mapping) else None
    if not isinstance(inner, Mapping):
        return ""
    parts = (str(inner.get(name) or "") for name in ("code", "message"))
    return bounded(" ".join(": ".join(filter(None, parts)).split()), 2000)


def _utc(value: Any) -> Any:
    """Run history's times, which in recordings come with and without their zone."""
    if isinstance(value, str) and not re.search(r"(Z|[+-]\d\d:\d\d)$", value):
        return f"{value}+00:00"
    return value
