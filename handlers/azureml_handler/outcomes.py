"""How an attempt ended: as Azure ML says, and as the launcher says if that agrees.

A launcher's success counts only in a job that completed. What the platform did on its own (a
limit, a cancel, a lost node) is in the run's history, in words more than in codes. The patterns
below are from recordings and from the service's documentation of job errors
(learn.microsoft.com, "Troubleshoot ... job errors").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlgate.orchestration.backends.launching import ENDED_FROM_OUTSIDE, Record, bounded, time_of
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, RunSpec, RunStatus

_GONE = "The job is no longer in the workspace: it was deleted there."
_FINALIZED_TOO_LONG = (
    "Azure ML ended the job at its limit while it was uploading the run's files. The run itself "
    "took less time. Raise timeout_minutes, or keep fewer files."
)
_SLACK = timedelta(seconds=5)  # between two clocks

# mlgate's jobs mount nothing but the workspace's storage.
_LET_IN = (
    "The job's identity may not reach the workspace's storage. Set MLGATE_JOB_IDENTITY, or give "
    "the compute an identity, and give that identity the role Storage Blob Data Contributor on the "
    "storage account."
)
_PULLED = (
    "The compute may not pull the environment's image. Give its identity the role AcrPull on the "
    "registry that has the image: the workspace's, unless the message names another."
)
_REASONS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE), remedy)
    for kind, pattern, remedy in (
        (FailureKind.PREEMPTED, r"pre-?empt|\bevict|low.?priority node|\bspot\b", ""),
        (
            FailureKind.OUT_OF_MEMORY,
            r"out of memory|\bOOM|exit(ed with)? code:? 137\b|memory limit",
            "",
        ),
        (
            FailureKind.ENVIRONMENT,
            r"\b(python|base64): (command )?not found",
            "The environment needs `python` and `base64` on its PATH.",
        ),
        (
            FailureKind.ENVIRONMENT,
            r"image build|ImageBuild|EnvironmentBuild|failed to build",
            "",
        ),
        (
            FailureKind.INFRASTRUCTURE,
            r"UnauthorizedAccess.{0,80}pull docker image|not authenticate with the docker registry",
            _PULLED,
        ),
        (FailureKind.ENVIRONMENT, r"\bconda\b|docker image", ""),
        (FailureKind.INFRASTRUCTURE, r"StreamAccess\.Authentication", _LET_IN),
        (
            FailureKind.DATA,
            r"ScriptExecution\.StreamAccess|DataAccess|\bmount.*(fail|not found)",
            "",
        ),
    )
)


def outcome(spec: RunSpec, run: Mapping[str, Any] | None, claimed: bytes | None) -> Outcome:
    """The outcome without its files; `run` is the `runMetadata`, `claimed` outcome.json's content.

    Never raises because of what a run wrote.
    """
    if run is None:
        return Outcome(RunStatus.FAILED, failure=Failure(FailureKind.INFRASTRUCTURE, _GONE))
    record = Record.read(claimed)
    started = began(run)
    finished = time_of(_utc(run.get("endTimeUtc")))
    status, failure = _verdict(spec, run, record, started, finished)
    return Outcome(
        status=status,
        # The launcher's times are the execution's own; the job's include what Azure ML did around
        # it.
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
    if status == "Completed" and record.status == "succeeded":
        return RunStatus.SUCCEEDED, None
    if status == "Failed" and record.status == "failed" and record.failure:
        return RunStatus.FAILED, record.failure
    at_limit = _ended_at_limit(spec, record, started, finished)
    if status == "Canceled":
        return (RunStatus.FAILED, at_limit) if at_limit else (RunStatus.CANCELED, None)
    failure = _explained(error)
    if failure is None and status == "Failed":  # no public recording shows a job at its limit
        failure = at_limit
    return RunStatus.FAILED, failure or _unexplained(str(status), error, record)


def _ended_at_limit(
    spec: RunSpec, record: Record, started: datetime | None, finished: datetime | None
) -> Failure | None:
    """The failure of a job that was ended at its limit; None if it ended before."""
    limit = timedelta(minutes=spec.timeout_minutes)
    if not started or not finished or finished - started + _SLACK < limit:
        return None
    executed = record.finished_at if record.status in ("succeeded", "failed") else None
    if executed and executed - started + _SLACK < limit:
        return Failure(FailureKind.INFRASTRUCTURE, _FINALIZED_TOO_LONG)
    failure = record.failure
    return Failure(
        FailureKind.TIMEOUT,
        f"The run exceeded its limit of {spec.timeout_minutes:g} minutes.",
        failure.cell if failure else None,
        failure.traceback if failure else None,
    )


def _explained(error: str) -> Failure | None:
    """Why a job ended without a valid outcome, if Azure ML says so."""
    for kind, pattern, remedy in _REASONS:
        if pattern.search(error):
            return Failure(kind, f"{remedy} {error}".strip())
    return None


def _unexplained(status: str, error: str, record: Record) -> Failure:
    if record.status == "canceled":
        return Failure(FailureKind.INFRASTRUCTURE, f"{ENDED_FROM_OUTSIDE} {error}".strip())
    said = error or "Azure ML gives no reason."
    return Failure(
        FailureKind.INFRASTRUCTURE, f"The job ended as {status} without a valid outcome. {said}"
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
    """Run history's times in UTC; in recordings they come with and without their zone."""
    if isinstance(value, str) and not re.search(r"(Z|[+-]\d\d:\d\d)$", value):
        return f"{value}+00:00"
    return value
