"""What a job goes through, and what of it is an end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite, Fault, FaultKind, Job
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.runs import FailureKind, RunStatus, Task
from tests.contract.handlers.azureml_handler.support import Bench, RecordingClock

ENDLESS = "sleep 600"
NOT_FOUND = Fault.answering(404)


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("NotStarted", RunStatus.QUEUED),
        ("Queued", RunStatus.QUEUED),
        ("Provisioning", RunStatus.QUEUED),
        ("Starting", RunStatus.QUEUED),
        ("Preparing", RunStatus.QUEUED),
        ("Running", RunStatus.RUNNING),
        ("Finalizing", RunStatus.RUNNING),
        ("CancelRequested", RunStatus.RUNNING),
        ("NotResponding", RunStatus.RUNNING),
        ("Paused", RunStatus.RUNNING),
        ("Unknown", RunStatus.RUNNING),
        ("SomethingNew", RunStatus.RUNNING),
        ("Completed", RunStatus.SUCCEEDED),
        ("Failed", RunStatus.FAILED),
        ("Canceled", RunStatus.CANCELED),
    ],
)
def test_only_what_is_an_end_is_one(told: str, seen: RunStatus, bench: Bench) -> None:
    task = bench.task(ENDLESS)
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id, "Running")
    bench.server.jobs.pretend(task.attempt.id, told)
    assert bench.see(task).status is seen
    assert bench.handler.look(bench.tries(task))[task.attempt].status is seen
    bench.server.jobs.pretend(task.attempt.id, "Running")  # else the stand-in would wait for it


def test_a_job_of_unknown_status_is_watched_to_its_end(bench: Bench) -> None:
    bench.server.faults.add("execution", FaultKind.UNKNOWN)
    outcome = bench.run(bench.task("python train.py"))
    assert outcome.status is RunStatus.SUCCEEDED


def test_a_job_that_disappears_is_our_fault(bench: Bench) -> None:
    task = bench.task(ENDLESS)
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id, "Running")
    bench.server.jobs.remove(task.attempt.id)
    assert bench.see(task).status is RunStatus.FAILED
    outcome = bench.handler.collect(task, bench.files)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert "no longer in the workspace" in outcome.failure.message


def test_a_job_that_run_history_does_not_have_yet_is_not_gone(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id)
    bench.server.faults.add("history.rundata", NOT_FOUND)
    with pytest.raises(Temporary, match="history does not have the run train yet"):
        bench.handler.collect(task, bench.files)
    assert bench.ended(task).status is RunStatus.SUCCEEDED


def test_a_job_that_the_control_plane_does_not_show_yet_goes_on(bench: Bench) -> None:
    task = bench.task(ENDLESS)
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id, "Running")
    bench.server.faults.add("jobs.get", NOT_FOUND)
    assert bench.see(task).status is RunStatus.RUNNING
    assert bench.calls("history.rundata") == ["history.rundata"]


def test_a_job_that_is_told_as_gone_does_not_go_on(bench: Bench) -> None:
    task = bench.task(ENDLESS)
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id, "Running")
    for call in ("jobs.get", "history.rundata"):
        bench.server.faults.add(call, NOT_FOUND, 2)
    assert bench.see(task).status is RunStatus.FAILED
    outcome = bench.handler.collect(task, bench.files)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert bench.server.jobs.wait(task.attempt.id).status == "Canceled"


def test_a_preempted_job_is_told_as_such(bench: Bench) -> None:
    bench.server.faults.add("execution", FaultKind.PREEMPT)
    outcome = bench.run(bench.task(ENDLESS))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.PREEMPTED


@pytest.mark.parametrize("status", ["Canceled", "Failed"])
def test_a_job_that_azure_ml_ends_at_its_limit_timed_out(status: str, bench: Bench) -> None:
    bench.server.workspace.fails_at_limit = status == "Failed"
    task = bench.task(ENDLESS, timeout_minutes=1 / 60)
    outcome = bench.run(task)
    assert bench.job(task).status == status
    assert outcome.status is RunStatus.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT


def test_a_job_that_somebody_canceled_is_canceled(bench: Bench) -> None:
    task = bench.task(ENDLESS)
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id, "Running")
    bench.another().cancel([task.attempt])
    outcome = bench.ended(task)
    assert (outcome.status, outcome.failure) == (RunStatus.CANCELED, None)


def test_a_job_that_outlives_its_limit_is_ended_once(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = RecordingClock()
    with AzureML(azurite=azurite, clock=clock.now, token_lifetime=timedelta(days=9)) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        bench = Bench(server, tmp_path, clock)
        task = bench.task(ENDLESS, timeout_minutes=60)
        bench.handler.submit(task)
        begun(server, task)
        clock.ahead += timedelta(minutes=64)  # the service has five minutes beyond the limit
        bench.see(task)
        assert bench.calls("jobs.cancel") == []
        clock.ahead += timedelta(minutes=2)
        bench.see(task)
        server.jobs.wait(task.attempt.id)
        server.jobs.pretend(task.attempt.id, "CancelRequested")  # where the service may stay
        assert bench.see(task).status is RunStatus.RUNNING
        assert bench.calls("jobs.cancel") == ["jobs.cancel"]
        server.jobs.pretend(task.attempt.id, "Canceled")
        outcome = bench.ended(task)
        assert outcome.failure is not None
        assert outcome.failure.kind is FailureKind.TIMEOUT
        bench.close()


def begun(server: AzureML, task: Task) -> Job:
    """The run's job, once its history tells when it began."""
    job = server.jobs.wait(task.attempt.id, "Running")
    while job.started is None:
        time.sleep(0.01)
    return job


def old(bench: Bench) -> Task:
    """A run of at most an hour, which began a minute ago, ten hours after it was submitted."""
    task = bench.task(ENDLESS, timeout_minutes=60)
    bench.handler.submit(task)
    job = begun(bench.server, task)
    job.created -= timedelta(hours=10)
    job.started = datetime.now(UTC) - timedelta(minutes=1)
    return task


def test_a_job_that_began_anew_has_its_whole_limit(bench: Bench) -> None:
    task = old(bench)
    bench.see(task)
    bench.job(task).started = datetime.now(UTC) + timedelta(minutes=50)
    bench.clock.ahead += timedelta(minutes=70)
    for _ in range(2):
        assert bench.see(task).status is RunStatus.RUNNING
    assert bench.calls("history.rundata", "jobs.cancel") == ["history.rundata"] * 2


@pytest.mark.parametrize("call", ["history.rundata", "jobs.cancel"])
def test_a_look_stands_although_a_limit_cannot_be_seen_to(
    call: str, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    task = old(bench)
    bench.clock.ahead += timedelta(minutes=70)
    bench.server.faults.add(call, Fault.answering(403))
    assert bench.see(task).status is RunStatus.RUNNING
    assert f"job {task.attempt.id} may have outlived its limit" in caplog.text
    bench.see(task)
    assert bench.server.jobs.wait(task.attempt.id).status == "Canceled"
