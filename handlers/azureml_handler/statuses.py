"""What Azure ML says of a job, in our words.

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
OVERDUE = timedelta(minutes=5)  # what Azure ML has to end a job at its limit
_WAITING = {
    "NotStarted": "waiting for Azure ML",
    "Queued": "waiting for compute",
    "Provisioning": "waiting for compute",
    "Starting": "starting",
    "Preparing": "preparing the environment",
}
_FINALIZING = "Finalizing"  # what was left is uploaded: it has executed, within its limit or not
_ENDING = "CancelRequested"
_BEGUN = ("Running", _FINALIZING)


def observation(job: Mapping[str, Any] | None, now: datetime) -> Observation:
    """Of a job as Jobs - Get and Jobs - List tell it; None: it is gone. What is not known goes on.

    One that is gone is seen as failed, and `collect` tells why.
    """
    if job is None:
        return Observation(RunStatus.FAILED)
    status = _status(job)
    told = part(job, "properties", "services", "Studio", "endpoint")
    url = told if isinstance(told, str) else None
    if status in FINAL:
        return Observation(FINAL[status], studio_url=url)
    if status in _WAITING:
        return Observation(RunStatus.QUEUED, activity=_WAITING[status], studio_url=url)
    # When it started only its run's history tells, which is read once, at the end; whether it did,
    # not every status tells.
    started = now if status in _BEGUN else None
    return Observation(RunStatus.RUNNING, started_at=started, studio_url=url)


def limit_of(job: Mapping[str, Any]) -> timedelta:
    """How long the job may run, as it was submitted."""
    told = str(part(job, "properties", "properties", LIMIT))
    known = told.isdecimal() and len(told) < 9
    return timedelta(seconds=int(told)) if known else timedelta(days=366)


def is_ending(job: Mapping[str, Any] | None) -> bool:
    """Whether its end was asked for, and has not come."""
    return job is not None and _status(job) == _ENDING


def may_be_overdue(job: Mapping[str, Any], now: datetime) -> bool:
    """Whether it executes, and was made so long ago that its limit may have passed it by.

    What waits has not begun, however long ago it was made; what is finalized has executed, and
    what is told to end is ending.
    """
    status = _status(job)
    if status in FINAL or status in _WAITING or status in (_FINALIZING, _ENDING):
        return False
    created = time_of(part(job, "systemData", "createdAt"))
    return created is not None and is_overdue(created, limit_of(job), now)


def is_overdue(began: datetime, limit: timedelta, now: datetime) -> bool:
    """Whether what goes on should have been ended by its limit a while ago."""
    return now > began + limit + OVERDUE


def _status(job: Mapping[str, Any]) -> Any:
    return part(job, "properties", "status")
