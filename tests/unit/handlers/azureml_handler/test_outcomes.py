"""How an attempt ended, of what Azure ML's run history says and the launcher claims."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.azureml_handler.outcomes import began, outcome
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, RunKind, RunSpec, RunStatus

SPEC = RunSpec("train", RunKind.TRAINING, command="true", timeout_minutes=10)
START, END = "2026-01-01T12:00:00Z", "2026-01-01T12:03:00Z"
LATE = "2026-01-01T12:10:01Z"
PASSED = {"status": "succeeded", "metrics": {"auc": 0.5}, "warnings": ["careful"]}
FAILED = {
    "status": "failed",
    "failure": {"kind": "data", "message": "no file", "cell": 2, "traceback": "Traceback"},
}


def run(status: object, error: tuple[str, str] | None = None, **more: Any) -> dict[str, Any]:
    told = {"error": {"code": error[0], "message": error[1]}} if error else None
    return {"status": status, "startTimeUtc": START, "endTimeUtc": END, "error": told, **more}


def ended(told: dict[str, Any] | None, claimed: object) -> Outcome:
    return outcome(SPEC, told, json.dumps(claimed).encode())


def test_a_success_is_both_azure_mls_and_the_launchers() -> None:
    found = ended(run("Completed"), PASSED)
    assert (found.status, found.failure) == (RunStatus.SUCCEEDED, None)
    assert (found.metrics, found.warnings) == ({"auc": 0.5}, ("careful",))


def test_a_failure_is_the_launchers() -> None:
    failure = Failure(FailureKind.DATA, "no file", 2, "Traceback")
    assert ended(run("Failed", ("UserError", "exit status 1")), FAILED).failure == failure


@pytest.mark.parametrize(
    ("finish", "started", "status"),
    [
        (END, START, RunStatus.CANCELED),
        ("2026-01-01T12:09:54Z", START, RunStatus.CANCELED),
        ("2026-01-01T12:09:56Z", START, RunStatus.FAILED),
        (LATE, START, RunStatus.FAILED),
        ("2026-01-01T12:10:01.5", "2026-01-01T12:00:00", RunStatus.FAILED),
        (LATE, None, RunStatus.CANCELED),
        (None, START, RunStatus.CANCELED),
    ],
)
def test_a_job_canceled_at_its_limit_took_too_long(
    finish: str | None, started: str | None, status: RunStatus
) -> None:
    found = ended(run("Canceled", startTimeUtc=started, endTimeUtc=finish), FAILED)
    message = "The run exceeded its limit of 10 minutes."
    expected = Failure(FailureKind.TIMEOUT, message, 2, "Traceback")
    assert found.status is status
    assert found.failure == (expected if status is RunStatus.FAILED else None)


@pytest.mark.parametrize(
    ("claimed", "finished", "kind"),
    [
        (PASSED, "2026-01-01T12:09:54Z", FailureKind.INFRASTRUCTURE),
        (FAILED, "2026-01-01T12:09:54Z", FailureKind.INFRASTRUCTURE),
        (PASSED, "2026-01-01T12:09:56Z", FailureKind.TIMEOUT),
        ({"status": "canceled"}, "2026-01-01T12:09:54Z", FailureKind.TIMEOUT),
    ],
)
def test_what_azure_ml_does_after_the_execution_does_not_count_as_its_time(
    claimed: dict[str, Any], finished: str, kind: FailureKind
) -> None:
    found = ended(run("Canceled", endTimeUtc=LATE), claimed | {"finished_at": finished})
    assert found.failure is not None
    assert found.failure.kind is kind


@pytest.mark.parametrize(
    ("claimed", "message", "end", "kind"),
    [
        (None, "The job was ended.", LATE, FailureKind.TIMEOUT),
        (None, "", LATE, FailureKind.TIMEOUT),
        ({"status": "canceled"}, "The job was ended.", LATE, FailureKind.TIMEOUT),
        (PASSED | {"finished_at": LATE}, "", LATE, FailureKind.TIMEOUT),
        (PASSED | {"finished_at": END}, "", LATE, FailureKind.INFRASTRUCTURE),
        (FAILED, "exit status 1", LATE, FailureKind.DATA),
        (None, "The node was preempted.", LATE, FailureKind.PREEMPTED),
        (None, "Image build failed.", LATE, FailureKind.ENVIRONMENT),
        (None, "The job was ended.", END, FailureKind.INFRASTRUCTURE),
        ({"status": "canceled"}, "The job was ended.", END, FailureKind.INFRASTRUCTURE),
    ],
)
def test_a_job_that_failed_at_its_limit_took_too_long_unless_more_is_told(
    claimed: object, message: str, end: str, kind: FailureKind
) -> None:
    found = ended(run("Failed", ("UserError", message), endTimeUtc=end), claimed)
    assert found.status is RunStatus.FAILED
    assert found.failure is not None
    assert found.failure.kind is kind


@pytest.mark.parametrize("claimed", [PASSED, FAILED, {"status": "canceled"}, None])
def test_a_canceled_job_is_canceled_whatever_is_claimed(claimed: object) -> None:
    found = ended(run("Canceled"), claimed)
    assert (found.status, found.failure) == (RunStatus.CANCELED, None)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The node was preempted.", FailureKind.PREEMPTED),
        ("Nodes of this job got pre-empted", FailureKind.PREEMPTED),
        ("Node was evicted", FailureKind.PREEMPTED),
        ("a low-priority node was lost", FailureKind.PREEMPTED),
        ("The spot capacity ended", FailureKind.PREEMPTED),
        ("Container ran out of memory", FailureKind.OUT_OF_MEMORY),
        ("OOMKilled", FailureKind.OUT_OF_MEMORY),
        ("exited with code 137", FailureKind.OUT_OF_MEMORY),
        ("bash: line 1: exec: python: not found", FailureKind.ENVIRONMENT),
        ("base64: command not found", FailureKind.ENVIRONMENT),
        ("Image build failed.", FailureKind.ENVIRONMENT),
        (
            "Image build failed: could not authenticate with the Docker registry x.azurecr.io",
            FailureKind.ENVIRONMENT,
        ),
        ("Failed to create the conda environment", FailureKind.ENVIRONMENT),
        ("ScriptExecution.StreamAccess.NotFound", FailureKind.DATA),
        ("mounting the input failed", FailureKind.DATA),
        (
            "Failed to mount: ScriptExecution.StreamAccess.Authentication",
            FailureKind.INFRASTRUCTURE,
        ),
        ("no room for the anaconda that spotted the amount, which failed", None),
        ("exited with code 1370", None),
        ("Execution failed.", None),
    ],
)
def test_what_the_platform_did_is_read_from_its_words(
    message: str, kind: FailureKind | None
) -> None:
    found = ended(run("Failed", ("SystemError", message)), None).failure
    assert found is not None
    assert found.kind is (kind or FailureKind.INFRASTRUCTURE)
    assert f"SystemError: {message}" in found.message


def test_an_image_that_may_not_be_pulled_names_the_role() -> None:
    """As in public reports."""
    said = (
        "AggregatedUnauthorizedAccessError: Failed to pull Docker image "
        "contoso.azurecr.io/azureml/x: could not authenticate with the Docker registry"
    )
    found = ended(run("Failed", ("AzureMLCompute job failed.", said)), None).failure
    assert found is not None
    assert found.kind is FailureKind.INFRASTRUCTURE
    assert found.message.startswith("The compute may not pull")
    assert "AcrPull" in found.message


def test_a_job_that_storage_refuses_tells_who_is_to_be_let_in() -> None:
    found = ended(run("Failed", ("UserError", "ScriptExecution.StreamAccess.Authentication")), None)
    assert found.failure is not None
    assert found.failure.message == (
        "The job's identity may not reach the workspace's storage. Set MLGATE_JOB_IDENTITY, or "
        "give the compute an identity, and give that identity the role Storage Blob Data "
        "Contributor on the storage account. UserError: ScriptExecution.StreamAccess.Authentication"
    )


@pytest.mark.parametrize(
    ("status", "claimed", "sentence"),
    [
        ("Completed", None, "The job ended as Completed without a valid outcome. Azure ML gives"),
        ("Completed", FAILED, "The job ended as Completed without a valid outcome."),
        ("Failed", PASSED, "The job ended as Failed without a valid outcome."),
        ("Failed", {"status": "failed", "failure": []}, "The job ended as Failed without a valid"),
        ("Failed", {"status": "canceled"}, "The run was ended from outside, not by mlgate."),
        ("Failed", "[", "The job ended as Failed without a valid outcome."),
        (None, PASSED, "The job ended as None without a valid outcome."),
    ],
)
def test_what_does_not_hold_together_is_infrastructure(
    status: object, claimed: object, sentence: str
) -> None:
    found = ended(run(status), claimed)
    assert found.status is RunStatus.FAILED
    assert found.failure is not None
    assert found.failure.kind is FailureKind.INFRASTRUCTURE
    assert found.failure.message.startswith(sentence)


def test_a_job_that_is_gone_is_infrastructure() -> None:
    found = ended(None, PASSED)
    assert found.failure is not None
    assert found.failure.kind is FailureKind.INFRASTRUCTURE
    assert "was deleted" in found.failure.message


@pytest.mark.parametrize("error", [None, "x", {}, {"error": None}, {"error": {"code": None}}])
def test_an_error_of_any_shape_is_read(error: object) -> None:
    found = ended(run("Failed") | {"error": error}, None).failure
    assert found is not None
    assert found.message.endswith("Azure ML gives no reason.")


def test_times_are_the_executions_or_else_the_jobs() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    own = {"started_at": "2026-01-01T12:01:00Z", "finished_at": "2026-01-01T12:02:00Z"}
    found = ended(run("Completed"), PASSED | own)
    minutes = [at + timedelta(minutes=number) for number in range(4)]
    assert (found.started_at, found.finished_at) == (minutes[1], minutes[2])
    found = ended(run("Completed"), PASSED)
    assert (found.started_at, found.finished_at) == (minutes[0], minutes[3])


@pytest.mark.parametrize(("told", "minute"), [(START, 0), (START[:-1], 0), (None, None)], ids=repr)
def test_history_tells_when_a_run_began(told: str | None, minute: int | None) -> None:
    at = None if minute is None else datetime(2026, 1, 1, 12, minute, tzinfo=UTC)
    assert began(run("Running", startTimeUtc=told)) == at
