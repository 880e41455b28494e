"""What one request waits for, or one run is stuck with, holds up nothing else of its build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from mlgate.orchestration import requests
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Temporary, Throttled, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Outcome, RunStatus, Task
from mlgate.orchestration.steps import ENDING_GRACE, SLICE
from mlgate.orchestration.turn import TURN_SECONDS
from tests.unit.orchestration.conftest import completion_of
from tests.unit.orchestration.twins import BackendTwin, World

HOUR = Throttled("The service asks to wait for an hour.", 3600.0)
HALF_A_MINUTE = timedelta(seconds=30)


@dataclass
class KeepsBack(BackendTwin):
    """Never lets go of what the run `stuck` left, and takes its time to say so."""

    meanwhile: Callable[[], object] | None = None

    def collect(self, task: Task, files: BuildFiles) -> Outcome:
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
    assert world.build(key).last_error == str(busy)
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
    while not world.build(key).last_error:
        world.deliver()
    asked = world.clock.time
    if way == "pipeline":
        world.pipeline.waiting = False
    elif way == "cancel":
        requests.cancel(world.state, key, "Enough.")
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
    for _ in range(5):
        world.deliver()

    build = world.build(key)
    assert [run.status for run in build.runs] == ["queued", "succeeded", "succeeded"]
    assert build.last_error == "There is no room for it."


def test_a_run_that_is_never_taken_over_is_the_reason_at_the_deadline(world: World) -> None:
    world.backend = KeepsBack()
    key = world.start({"name": "stuck"}, {"name": "other"}, deadline_minutes=2)
    assert key
    world.run_to_end()

    stuck, other = world.build(key).runs
    assert (stuck.status, other.status) == (RunStatus.FAILED, RunStatus.SUCCEEDED)
    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert "stuck failed (infrastructure): There is no room for it." in reason
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
    requests.cancel(world.state, key, "Enough.")
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
    requests.cancel(world.state, key, "Enough.")
    world.run_to_end()

    assert world.build(key).run("a").status is RunStatus.SUCCEEDED
    assert world.backend.canceled == []


@pytest.mark.parametrize("call", ["submit", "look", "collect"])
def test_a_right_that_is_refused_for_a_while_ends_no_runs(world: World, call: str) -> None:
    world.backend.faults[call] = [UnfitHost("not allowed")] * 6
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    assert world.build(key).verdict is Verdict.SUCCEEDED
    assert world.build(key).run("a").attempt == 1


@pytest.mark.parametrize("call", ["submit", "look", "collect"])
def test_a_right_that_stays_refused_ends_the_build_as_infrastructure(
    world: World, call: str
) -> None:
    world.backend.faults[call] = [UnfitHost("not allowed")] * 999
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    build = world.build(key)
    assert (build.verdict, build.infrastructure) == (Verdict.FAILED, True)
    assert "not allowed" in build.reason
    assert world.clock.time - build.received_at < timedelta(minutes=10)
