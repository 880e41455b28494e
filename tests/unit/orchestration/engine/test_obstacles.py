"""What one request waits for, or one run is stuck with, holds up nothing else of its build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.engine.pace import ENDING_GRACE
from mlgate.orchestration.engine.steps import SLICE
from mlgate.orchestration.engine.turn import TURN_SECONDS
from mlgate.orchestration.errors import Temporary, Throttled, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import FailureKind, Outcome, RunStatus, Task
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import BackendTwin, World

HOUR = Throttled("The service asks to wait for an hour.", 3600.0)
HALF_A_MINUTE = timedelta(seconds=30)


@dataclass
class KeepsBack(BackendTwin):
    """Never lets go of what the run `stuck` left, and takes its time to say so."""

    meanwhile: Callable[[], object] | None = None

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        if task.spec.name == "stuck":
            if self.meanwhile is not None:
                self.meanwhile()
            raise Temporary("There is no room for it.", 5.0)
        return super().collect(task, files)


def test_a_slice_that_is_throttled_as_a_whole_holds_back_the_rest_and_no_look(
    world: World,
) -> None:
    busy = Throttled("The service asks to wait for five minutes.", 300.0)
    world.backend.faults["submit"] = [busy]
    key = world.start(*({"name": f"run-{number}"} for number in range(SLICE + 5)))
    assert key
    world.deliver()
    began = last = world.clock.time
    assert [trouble.what for trouble in world.build(key).troubles] == [str(busy)]
    while not world.backend.submitted:
        world.deliver()
        assert world.clock.time - last <= HALF_A_MINUTE
        last = world.clock.time
    assert last - began >= timedelta(minutes=5)
    world.run_to_end()

    assert world.build(key).verdict is Verdict.SUCCEEDED


@pytest.mark.parametrize("call", ["submit", "look"])
@pytest.mark.parametrize("way", ["pipeline", "cancel", "deadline"])
def test_an_end_is_seen_although_the_backend_asks_to_wait_for_an_hour(
    world: World, call: str, way: str
) -> None:
    backend = world.backend
    backend.endless = True

    def throttle() -> None:
        if len(backend.submitted) == SLICE - 1:
            backend.faults[call] = [HOUR] * 99

    backend.on_submit = throttle
    runs = [{"name": f"run-{number}"} for number in range(SLICE * 2)]
    key = world.start(*runs, deadline_minutes=2)
    assert key
    while not world.build(key).troubles:
        world.deliver()
    asked = world.clock.time
    if way == "pipeline":
        world.pipeline.waiting = False
    elif way == "cancel":
        world.conductor.cancel(key, "Enough.")
    else:
        asked = world.build(key).deadline
    while not backend.canceled:
        world.deliver()

    assert world.clock.time - asked <= HALF_A_MINUTE
    assert set(backend.submitted) <= set(backend.canceled)


@pytest.mark.parametrize("seconds", [0, 2 * TURN_SECONDS])
def test_a_run_that_cannot_be_taken_over_keeps_none_from_being_submitted(
    world: World, seconds: float
) -> None:
    world.backend = KeepsBack(meanwhile=lambda: world.clock.sleep(seconds))
    key = world.start({"name": "stuck"}, {"name": "after", "needs": ["other"]}, {"name": "other"})
    assert key
    for _ in range(8):
        world.deliver()

    build = world.build(key)
    assert [run.status for run in build.runs] == ["queued", "succeeded", "succeeded"]
    assert build.run("stuck").troubles[-1].what == "There is no room for it."


def test_a_run_that_is_never_taken_over_is_the_reason_at_the_deadline(world: World) -> None:
    world.backend = KeepsBack()
    key = world.start({"name": "stuck"}, {"name": "other"}, deadline_minutes=2)
    assert key
    world.run_to_end()

    stuck, other = world.build(key).runs
    assert (stuck.status, other.status) == (RunStatus.FAILED, RunStatus.SUCCEEDED)
    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    failure = "Its results could not be collected: There is no room for it."
    assert f"stuck failed (infrastructure): {failure}" in reason
    assert world.clock.time <= world.build(key).deadline + ENDING_GRACE + HALF_A_MINUTE


def test_a_run_that_was_taken_for_gone_and_goes_on_is_canceled_with_its_build(
    world: World,
) -> None:
    world.backend = KeepsBack(outcomes={"stuck": [Outcome(RunStatus.FAILED)]})
    key = world.start({"name": "stuck"})
    assert key
    world.deliver()
    world.deliver()
    assert world.build(key).run("stuck").ended
    world.conductor.cancel(key, "Enough.")
    world.deliver()

    assert [attempt.run for attempt in world.backend.canceled] == ["stuck"]


def test_what_ended_by_itself_is_taken_over_before_a_build_that_ends_cancels_it(
    world: World,
) -> None:
    world.backend.faults["collect"] = [Temporary("busy")]
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    world.deliver()
    assert world.build(key).run("a").ended
    world.conductor.cancel(key, "Enough.")
    world.run_to_end()

    assert world.build(key).run("a").status is RunStatus.SUCCEEDED
    assert world.backend.canceled == []


CALLS = ("submit", "look", "collect")
FAULTS = (UnfitHost("not allowed"), ZeroDivisionError("not allowed"))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_what_fails_for_a_quarter_of_an_hour_ends_no_runs(
    world: World, call: str, fault: Exception
) -> None:
    """As a role does that is being assigned once more."""
    world.backend.faults[call] = [fault] * 999
    key = world.start({"name": "a"})
    assert key
    while world.clock.time < NOON + timedelta(minutes=14):
        world.deliver()
    world.backend.faults.clear()
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert world.build(key).run("a").attempt == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_what_goes_on_failing_ends_the_build_as_infrastructure(
    world: World, call: str, fault: Exception
) -> None:
    world.backend.faults[call] = [fault] * 999
    key = world.start({"name": "a"})
    assert key
    world.run_to_end(most=500)

    build = world.build(key)
    assert completion_of(world)[0] is Verdict.FAILED
    assert "not allowed" in build.reason
    failure = build.run("a").failure
    assert build.infrastructure or (failure and failure.kind is FailureKind.INFRASTRUCTURE)
    assert build.run("a").status.ended
    assert timedelta(minutes=15) <= world.clock.time - NOON < timedelta(minutes=20)
    assert world.backend.canceled or call != "look", "it may go on, and was not asked to end"
