"""The end is told exactly once, whatever the service does in between."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlgate.emulators.azure_devops import Fault, FaultKind
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Finding, Temporary
from mlgate.orchestration.telling import Completion, Progress
from tests.contract.handlers.devops_handler.support import Scene

SUCCEEDED = Completion(Verdict.SUCCEEDED, "3 of 3 runs passed")
FAILED = Completion(
    Verdict.FAILED, "1 of 3 runs passed", issues=("train failed: x", "eval was skipped")
)


@pytest.mark.parametrize(("completion", "result"), [(SUCCEEDED, "succeeded"), (FAILED, "failed")])
def test_a_verdict_ends_the_step(completion: Completion, result: str, scene: Scene) -> None:
    scene.complete(completion)
    assert scene.task.completions == [result]
    assert scene.task.wait_completed(0) == result
    assert scene.task.record.percent == 100
    assert scene.task.record.operation == completion.reason


def test_the_step_shows_why_it_failed(scene: Scene) -> None:
    """The reason comes first, then a line for each run."""
    scene.complete(FAILED)
    messages = [issue["message"] for issue in scene.task.record.issues]
    assert messages == ["1 of 3 runs passed", "train failed: x", "eval was skipped"]
    assert {issue["type"] for issue in scene.task.record.issues} == {"error"}


def test_a_step_that_succeeded_shows_no_errors(scene: Scene) -> None:
    scene.complete(SUCCEEDED)
    assert scene.task.record.issues == ()
    assert scene.task.record.error_count == 0


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.FAILED])
def test_warnings_are_shown_beside_the_errors(verdict: Verdict, scene: Scene) -> None:
    """Up to ten of each; all of them are counted."""
    warnings = tuple(f"run {number}: no kernel is named" for number in range(12))
    scene.complete(Completion(verdict, "3 of 3 runs passed", warnings=warnings))
    issues = scene.task.record.issues
    shown = [issue["message"] for issue in issues if issue["type"] == "warning"]
    assert shown == [*warnings[:9], "... and 3 more"]
    assert scene.task.record.warning_count == 12
    assert scene.task.completions == [verdict]


VARIABLES = {"verdict": "failed", "metric.train.acc": "0.5"}


def shown_variables(scene: Scene) -> dict[str, str]:
    return {name: each["value"] for name, each in scene.task.record.variables.items()}


def test_later_jobs_find_output_variables(scene: Scene) -> None:
    """They are there before the step ends, in the same request as its reasons."""
    scene.complete(replace(FAILED, variables=VARIABLES))
    assert shown_variables(scene) == VARIABLES
    assert scene.calls[:2] == ["records.patch", "events"]


def test_variables_that_are_not_taken_do_not_take_the_reasons_with_them(scene: Scene) -> None:
    scene.server.faults.add("records.patch", Fault.answering(400))
    scene.complete(replace(FAILED, variables=VARIABLES))
    assert shown_variables(scene) == {}
    assert scene.task.record.error_count == 3
    assert scene.task.completions == ["failed"]
    [warning] = [each for each in scene.task.record.issues if each["type"] == "warning"]
    assert "no output variables" in warning["message"]
    assert "400" in warning["message"]


def test_a_rejected_message_shows_its_findings(scene: Scene) -> None:
    finding = Finding("unknown-field", "/runs/0/nmae", "Unknown field 'nmae'.", "Use 'name'.")
    scene.complete(Completion(Verdict.FAILED, "The message was rejected.", (finding,)))
    assert (
        "/runs/0/nmae [unknown-field]: Unknown field 'nmae'. Use 'name'."
        in scene.task.record.issues[1]["message"]
    )
    assert scene.task.completions == ["failed"]


def test_what_does_not_fit_into_the_issues_is_counted(scene: Scene) -> None:
    """Ten are shown, the last of which says how many there are besides."""
    issues = tuple(f"run {number} failed\nat a line" for number in range(30))
    scene.complete(Completion(Verdict.FAILED, "0 of 30 passed", issues=issues))
    assert len(scene.task.record.issues) == 10
    assert scene.task.record.issues[-1]["message"] == "... and 22 more"
    assert scene.task.record.error_count == 31


def test_a_canceled_build_posts_nothing(scene: Scene) -> None:
    scene.complete(Completion(Verdict.CANCELED, "The pipeline was canceled."))
    assert scene.server.requests == []


def test_in_doubt_nothing_is_posted_to_a_step_that_has_ended(scene: Scene) -> None:
    scene.task.cancel()
    scene.complete(FAILED, doubt=True)
    assert scene.calls == ["records.get"]
    assert scene.task.completions == []


def test_in_doubt_a_step_that_waits_is_told(scene: Scene) -> None:
    scene.complete(FAILED, doubt=True)
    assert scene.task.completions == ["failed"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.answering(408),
        Fault.answering(429, "7"),
        Fault.answering(500),
        Fault.answering(502),
        Fault.answering(503),
        Fault.answering(504),
        Fault(FaultKind.RESET),
        Fault(FaultKind.LOST),
        Fault(FaultKind.GARBLED),
        Fault(FaultKind.NO_EFFECT),
    ],
    ids=lambda fault: f"{fault.kind.name}-{fault.status}",
)
def test_an_event_that_goes_wrong_is_posted_once_in_the_end(fault: Fault, scene: Scene) -> None:
    """The first try leaves doubt, which the next one settles by the step's record."""
    scene.server.faults.add("events", fault)
    with pytest.raises(Temporary):
        scene.complete(FAILED)
    scene.complete(FAILED, doubt=True)
    assert scene.task.completions == ["failed"]
    assert scene.task.wait_completed(0) == "failed"


def test_an_event_that_is_never_answered_is_posted_once_in_the_end(scene: Scene) -> None:
    scene.server.faults.add("events", FaultKind.HANG)
    with pytest.raises(Temporary, match="not answered in time"):
        scene.another_handler(timeout_seconds=0.3).complete(SUCCEEDED)
    scene.complete(SUCCEEDED, doubt=True)
    assert scene.task.completions == ["succeeded"]


def test_an_effect_that_comes_late_is_waited_for(scene: Scene) -> None:
    """The answer comes before the effect, so that the first look finds a step that waits."""
    scene.server.faults.add("events", FaultKind.LATE)
    scene.complete(SUCCEEDED)
    assert scene.task.completions == ["succeeded"]
    assert scene.calls[-3:] == ["events", "records.get", "records.get"]
    assert scene.clock.slept == [1.0]


def test_the_answer_to_the_event_is_not_believed(scene: Scene) -> None:
    """204 has been seen without effect; the step's record is asked a few times, not for ever."""
    scene.server.faults.add("events", FaultKind.NO_EFFECT)
    with pytest.raises(Temporary, match="still waits"):
        scene.complete(SUCCEEDED)
    assert scene.calls.count("events") == 1
    assert scene.task.wait_completed(0) is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault.answering(429, "1"),
        Fault.answering(503),
        Fault(FaultKind.RESET),
        Fault(FaultKind.LOST),
        Fault(FaultKind.GARBLED),
        Fault(FaultKind.NO_EFFECT),
    ],
    ids=lambda fault: fault.kind.name,
)
@pytest.mark.parametrize("call", ["records.patch", "records.get"])
def test_what_may_be_repeated_is_repeated_within_the_call(
    call: str, fault: Fault, scene: Scene
) -> None:
    scene.server.faults.add(call, fault)
    scene.complete(FAILED)
    assert scene.task.completions == ["failed"]


def test_nothing_is_completed_before_its_reasons_are_shown(scene: Scene) -> None:
    """A service that is ill gets its time: three tries, then the conductor comes again."""
    scene.server.faults.add("records.patch", Fault.answering(503), times=3)
    with pytest.raises(Temporary):
        scene.complete(FAILED)
    assert scene.calls == ["records.patch"] * 3
    assert scene.task.completions == []


def test_a_record_that_cannot_be_written_does_not_hold_up_the_verdict(scene: Scene) -> None:
    """A step without its reasons is better than one that waits for its time-out."""
    scene.server.faults.add("records.patch", Fault.answering(400), times=50)
    scene.complete(FAILED)
    assert scene.task.record.issues == ()
    assert scene.task.completions == ["failed"]
    assert scene.calls.count("records.patch") == 1, "there were no variables to leave out"


@pytest.mark.parametrize(
    ("times", "errors", "warnings"), [(6, 3, 1), (500, 0, 0)], ids=["with variables", "ever"]
)
def test_a_record_that_always_fails_holds_up_the_verdict_for_one_more_try(
    times: int, errors: int, warnings: int, scene: Scene
) -> None:
    """A service may be ill for this body alone, and for ever. Each call tries three times."""
    scene.server.faults.add("records.patch", Fault.answering(500), times=times)
    told = replace(FAILED, variables=VARIABLES)
    with pytest.raises(Temporary):
        scene.complete(told)
    scene.complete(told, doubt=True)
    assert scene.task.completions == ["failed"]
    record = scene.task.record
    assert (record.error_count, record.warning_count) == (errors, warnings)
    assert shown_variables(scene) == {}


def test_lines_not_shown_yet_are_sent_before_the_end(scene: Scene) -> None:
    lines = tuple(f"line {number}" for number in range(1, 251))
    scene.show(Progress(50, "1/2 runs", lines))
    scene.complete(SUCCEEDED)
    assert [line.text for line in scene.task.feed] == list(lines)
    assert [line.number for line in scene.task.feed] == list(range(1, 251))
    assert scene.task.log.count("\n") == 250


@pytest.mark.parametrize("call", ["feed", "logs.append"])
def test_lines_that_cannot_be_sent_do_not_hold_up_the_verdict(call: str, scene: Scene) -> None:
    scene.show(Progress(10, "0/2 runs", ("first",)))
    scene.server.faults.add(call, Fault.answering(503), times=5)
    scene.show(Progress(50, "1/2 runs", ("second",), first_line=2))
    scene.complete(SUCCEEDED)
    assert scene.task.completions == ["succeeded"]


def test_a_completion_that_failed_is_not_followed_by_progress(scene: Scene) -> None:
    """Once the end may have been told, showing progress could only contradict it."""
    scene.server.faults.add("events", FaultKind.LOST)
    with pytest.raises(Temporary):
        scene.complete(FAILED)
    before = len(scene.server.requests)
    scene.show(Progress(99, "2/2 runs", ("late",)))
    assert len(scene.server.requests) == before


@pytest.mark.parametrize(("version", "quirk"), [(12, True), (13, False)])
def test_a_gate_is_told_by_the_ids_its_plan_version_expects(
    version: int, quirk: bool, scene: Scene
) -> None:
    """Up to plan version 12 the gates hub knows the task by the event's jobId."""
    gate = scene.another_task(hub="Gates", plan_version=version)
    gate.complete(SUCCEEDED)
    assert gate.task.completions == ["succeeded"]
    event = next(request.body for request in scene.server.requests if request.call == "events")
    assert (b"00000000-0000-0000-0000-000000000000" in event) is quirk


@pytest.mark.parametrize("hub", ["build", "Build", "RELEASE", "checks", "deployment"])
def test_the_hub_is_called_by_the_name_it_came_with(hub: str, scene: Scene) -> None:
    step = scene.another_task(hub=hub)
    step.complete(SUCCEEDED)
    assert all(f"/hubs/{hub}/" in request.path for request in scene.server.requests)
    assert step.task.completions == ["succeeded"]
