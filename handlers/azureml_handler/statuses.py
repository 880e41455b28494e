"""Translates what Azure ML says of a job.

The job statuses are those of azure-ai-ml 1.35 (`JobStatus` of `_run_history_constants.py`) and of
the REST reference (`JobStatus` of Jobs - Get). Only three of them are final: the SDK's own list
also has NotResponding and Paused, from which jobs come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from handlers.azureml_handler.answers import part
from handlers.azureml_handler.jobs import LIMIT
from mlgate.orchestration.backends.launching import time_of
from mlgate.orchestration.runs import Observation, RunStatus

FINAL = {
    "Completed": RunStatus.SUCCEEDED,
    "Failed": RunStatus.FAILED,
    "Canceled": RunStatus.CANCELED,
}
OVERDUE = timedelta(minutes=5)  # the time that Azure ML gets to end a job at its limit
_WAITING = {
    "NotStarted": "waiting for Azure ML",
    "Queued": "waiting for compute",
    "Provisioning": "waiting for compute",
    "Starting": "starting",
    "Preparing": "preparing the environment",
}
_FINALIZING = "Finalizing"  # its files are uploaded: it has executed, within its limit or not
_ENDING = "CancelRequested"
_BEGUN = ("Running", _FINALIZING)


def observation(job: Mapping[str, Any] | None, now: datetime) -> Observation:
    """Observe a job as Jobs - Get and Jobs - List return it; None if it is gone.

    An unknown status counts as running. A job that is gone counts as failed, and `collect` says
    why.
    """
    if job is None:
        return Observation(RunStatus.FAILED)
    status = _status(job)
    found = part(job, "properties", "services", "Studio", "endpoint")
    url = found if isinstance(found, str) else None
    if status in FINAL:
        return Observation(FINAL[status], studio_url=url)
    if status in _WAITING:
        return Observation(RunStatus.QUEUED, activity=_WAITING[status], studio_url=url)
    # Only its run's history says when it started, and is read once, at the end. Not every status
    # says whether it started.
    started = now if status in _BEGUN else None
    return Observation(RunStatus.RUNNING, started_at=started, studio_url=url)


def limit_of(job: Mapping[str, Any]) -> timedelta:
    """How long the job may run, as it was submitted."""
    limit = str(part(job, "properties", "properties", LIMIT))
    known = limit.isdecimal() and len(limit) < 9
    return timedelta(seconds=int(limit)) if known else timedelta(days=366)


def is_ending(job: Mapping[str, Any] | None) -> bool:
    """Whether its cancel was requested, and it has not ended."""
    return job is not None and _status(job) == _ENDING


def may_be_overdue(job: Mapping[str, Any], now: datetime) -> bool:
    """Whether it executes, and was created so long ago that it may be past its limit.

    A waiting job has not begun, however old it is; one that is finalizing has executed; one that is
    being canceled is ending.
    """
    status = _status(job)
    if status in FINAL or status in _WAITING or status in (_FINALIZING, _ENDING):
        return False
    created = time_of(part(job, "systemData", "createdAt"))
    return created is not None and is_overdue(created, limit_of(job), now)


def is_overdue(began: datetime, limit: timedelta, now: datetime) -> bool:
    """Whether a job that goes on should have been ended at its limit a while ago."""
    return now > began + limit + OVERDUE


def _status(job: Mapping[str, Any]) -> Any:
    return part(job, "properties", "status")
