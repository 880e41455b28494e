"""A whole build, on the pipeline's good and bad days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mlgate.emulators.azure_devops import Fault, FaultKind, Faults, Task
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.runs import RunStatus
from tests.contract.handlers.devops_handler.day import RUNS, AtRequest, Day, EachTwice


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    with Day(tmp_path) as made:
        yield made


FAULTS = {
    "429": (Fault.answering(429, "3"),),
    "503": (Fault.answering(503),),
    "reset": (Fault(FaultKind.RESET),),
    "answer lost": (Fault(FaultKind.LOST),),
    "all of them": (
        Fault.answering(429, "3"),
        Fault.answering(503),
        Fault(FaultKind.RESET),
        Fault(FaultKind.LOST),
    ),
    "no effect": (Fault(FaultKind.NO_EFFECT), Fault(FaultKind.RESET)),
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_with_every_call_failing_twice_there_is_one_completion(
    faults: tuple[Fault, ...], tmp_path: Path
) -> None:
    """And one test run with one result per run; and no busy loop."""
    day = Day(tmp_path, EachTwice(*faults))
    with day:
        task = day.begin()
        assert day.end() is Verdict.FAILED
        assert task.completions == ["failed"]
        for run in task.test_runs:
            names = [result.name for result in run.results.values()]
            assert sorted(names) == sorted(set(names))
        assert len(task.test_runs) <= 1


@pytest.mark.parametrize("call", ["429", "503", "reset", "answer lost", "all of them"])
def test_with_every_call_failing_twice_the_tests_tab_is_filled_all_the_same(
    call: str, tmp_path: Path
) -> None:
    day = Day(tmp_path, EachTwice(*FAULTS[call]))
    with day:
        task = day.begin()
        day.end()
        [run] = task.test_runs
        assert run.state == "Completed"
        assert sorted(result.name for result in run.results.values()) == list(RUNS)
        assert all(result.attachments == {"log.txt": b"log"} for result in run.results.values())
        assert ("Summary", "mlgate") in task.attachments


def test_on_a_good_day_a_build_makes_few_requests(day: Day) -> None:
    task = day.begin()
    assert day.end() is Verdict.FAILED
    assert task.completions == ["failed"]
    assert task.events == ["TaskStarted", "TaskCompleted"]
    assert len(day.server.requests) < 40


LAST = 31  # the last of the requests of a good day, the last three of which end the step


def test_the_sweeps_below_reach_the_last_request(day: Day) -> None:
    day.begin()
    day.end()
    assert len(day.server.requests) == LAST


@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_a_token_may_expire_before_any_request(number: int, tmp_path: Path) -> None:
    """The host's identity goes on from there, and nothing is missing in the end."""
    faults = AtRequest(number)
    with Day(tmp_path, faults) as day:
        day.identity = True
        task = day.begin()
        faults.happens = task.expire_token
        assert day.end() is Verdict.FAILED
        assert task.completions == ["failed"]
        [tests] = task.test_runs
        assert (tests.state, len(tests.results)) == ("Completed", len(RUNS))
        assert all(result.attachments for result in tests.results.values())
        assert len(task.attachments) == 4
        refused = [request for request in day.server.requests if request.caller is None]
        assert len(refused) <= 1, "a token that is not taken is not tried again and again"


@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_without_an_identity_a_token_that_expires_leaves_a_build_that_ends(
    number: int, tmp_path: Path
) -> None:
    faults = AtRequest(number)
    with Day(tmp_path, faults) as day:
        task = day.begin()
        faults.happens = task.expire_token
        assert day.end() is Verdict.FAILED
        assert task.completions == (["failed"] if number == LAST else [])


ENDS: dict[str, Callable[[Task], Callable[[], None]]] = {
    "plan": lambda task: task.end_plan,
    "step": lambda task: task.cancel,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("number", range(1, LAST - 2))
def test_a_pipeline_may_end_before_any_request(
    number: int, end: Callable[[Task], Callable[[], None]], tmp_path: Path
) -> None:
    """There is no completion then, and the test run does not stay in progress. (Of the three
    requests that end the step none can know.)"""
    faults = AtRequest(number)
    with Day(tmp_path, faults) as day:
        task = day.begin()
        faults.happens = end(task)
        day.end()
        assert task.completions == []
        assert {run.state for run in task.test_runs} <= {"Aborted", "Completed"}
        assert len(day.server.requests) < LAST + 10


def test_a_token_that_expires_half_way_leaves_the_host_to_tell_the_end(day: Day) -> None:
    day.identity = True
    day.world.backend.endless = True
    task = day.begin()
    for _ in range(4):
        day.world.deliver()
    task.expire_token()
    day.world.backend.endless = False
    assert day.end() is Verdict.FAILED
    assert task.completions == ["failed"]
    assert task.test_runs[0].state == "Completed"


def test_a_token_that_expires_half_way_without_an_identity_ends_the_build_anyway(
    day: Day,
) -> None:
    """Nobody can be told; the build's own record says why, and nothing is tried for ever."""
    day.world.backend.endless = True
    task = day.begin()
    for _ in range(4):
        day.world.deliver()
    task.expire_token()
    day.world.backend.endless = False
    assert day.end() is Verdict.FAILED
    assert task.completions == []
    [build] = day.world.state.builds()
    assert "MLGATE_DEVOPS_IDENTITY" in build.warnings[-1]


def test_a_plan_that_ends_half_way_gets_no_completion(day: Day) -> None:
    """The runs are canceled, and nothing is written any more."""
    day.world.backend.endless = True
    task = day.begin()
    for _ in range(4):
        day.world.deliver()
    before = len(day.server.requests)
    task.end_plan()
    assert day.end() is Verdict.CANCELED
    assert task.completions == []
    [build] = day.world.state.builds()
    assert {run.status for run in build.runs} == {RunStatus.CANCELED}
    told = [each.call for each in day.server.requests[before:] if each.method != "GET"]
    assert [call for call in told if not call.startswith("runs.")] == []
    assert task.test_runs[0].state == "Aborted"


def test_a_plan_that_ends_while_results_are_published_gets_no_completion(tmp_path: Path) -> None:
    """Whichever request of the end it is that finds out."""

    class EndsAt(Faults):
        def take(self, call: str) -> Fault | None:
            if call == "attachments.put":
                self.add("*", Fault.ended("TaskOrchestrationPlanTerminatedException"), times=99)
            return super().take(call)

    day = Day(tmp_path, EndsAt())
    with day:
        task = day.begin()
        day.end()
        assert task.completions == []


def test_a_canceled_step_is_noticed_within_half_a_minute_and_told_nothing_more(day: Day) -> None:
    day.world.backend.endless = True
    task = day.begin()
    for _ in range(4):
        day.world.deliver()
    task.cancel()
    canceled_at, before = day.world.clock.now(), len(day.server.requests)
    while not day.world.backend.canceled:
        day.world.deliver()
    assert day.world.clock.now() - canceled_at < timedelta(seconds=60)
    assert day.end() is Verdict.CANCELED
    assert {attempt.run for attempt in day.world.backend.canceled} == set(RUNS)
    told = [each.call for each in day.server.requests[before:] if each.method != "GET"]
    assert told == ["runs.update"]
    assert task.test_runs[0].state == "Aborted"
