"""What Azure ML says of a job, and what we make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.azureml_handler import statuses
from handlers.azureml_handler.jobs import LIMIT
from mlgate.orchestration.runs import Observation, RunStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
URL = "https://ml.azure.com/runs/a"


def job(status: object, **properties: Any) -> dict[str, Any]:
    services = {"Studio": {"endpoint": URL}}
    return {"properties": {"status": status, "services": services, **properties}}


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ("NotStarted", Observation(RunStatus.QUEUED, activity="waiting for Azure ML")),
        ("Queued", Observation(RunStatus.QUEUED, activity="waiting for compute")),
        ("Provisioning", Observation(RunStatus.QUEUED, activity="waiting for compute")),
        ("Starting", Observation(RunStatus.QUEUED, activity="starting")),
        ("Preparing", Observation(RunStatus.QUEUED, activity="preparing the environment")),
        ("Running", Observation(RunStatus.RUNNING, started_at=NOON)),
        ("Finalizing", Observation(RunStatus.RUNNING, started_at=NOON)),
        ("CancelRequested", Observation(RunStatus.RUNNING)),
        ("NotResponding", Observation(RunStatus.RUNNING)),
        ("Paused", Observation(RunStatus.RUNNING)),
        ("Unknown", Observation(RunStatus.RUNNING)),
        ("Splendid", Observation(RunStatus.RUNNING)),
        (None, Observation(RunStatus.RUNNING)),
        ("Completed", Observation(RunStatus.SUCCEEDED)),
        ("Failed", Observation(RunStatus.FAILED)),
        ("Canceled", Observation(RunStatus.CANCELED)),
    ],
)
def test_only_what_is_truly_final_is_an_end(status: str | None, seen: Observation) -> None:
    found = statuses.observation(job(status), NOON)
    assert found.studio_url == URL
    assert (found.status, found.started_at, found.activity) == (
        seen.status, seen.started_at, seen.activity,
    )  # a row a line # fmt: skip


def test_every_status_of_the_sdk_is_thought_of() -> None:
    from azure.ai.ml.operations._run_history_constants import JobStatus

    known = {value for name, value in vars(JobStatus).items() if name.isupper()}
    ends = {each for each in known if statuses.observation(job(each), NOON).status.ended}
    assert ends == {"Completed", "Failed", "Canceled"}


def test_a_job_that_is_gone_has_failed() -> None:
    assert statuses.observation(None, NOON) == Observation(RunStatus.FAILED)


@pytest.mark.parametrize("told", [{}, {"properties": None}, {"properties": {"services": None}}])
def test_a_job_that_tells_nothing_goes_on(told: dict[str, Any]) -> None:
    assert statuses.observation(told, NOON) == Observation(RunStatus.RUNNING)
    assert not statuses.may_be_overdue(told, NOON)


@pytest.mark.parametrize(
    ("limit", "seconds"), [("90", 90), ("x", None), ("-1", None), (None, None)], ids=repr
)
def test_the_limit_is_the_one_that_the_job_was_submitted_with(
    limit: object, seconds: int | None
) -> None:
    found = statuses.limit_of(job("Running", properties={LIMIT: limit}))
    assert found == (timedelta(days=366) if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("status", "minutes", "overdue"),
    [
        ("Running", 15, False),
        ("Running", 16, True),
        ("Finalizing", 16, False),
        ("NotResponding", 16, True),
        ("Splendid", 16, True),
        ("NotStarted", 16, False),
        ("Queued", 16, False),
        ("Provisioning", 16, False),
        ("Starting", 16, False),
        ("Preparing", 16, False),
        ("CancelRequested", 16, False),
        ("Completed", 16, False),
    ],
)
def test_one_that_executes_long_after_its_limit_is_looked_into(
    status: str, minutes: float, overdue: bool
) -> None:
    made = {"createdAt": (NOON - timedelta(minutes=minutes)).isoformat()}
    found = job(status, properties={LIMIT: "600"}) | {"systemData": made}
    assert statuses.may_be_overdue(found, NOON) is overdue
