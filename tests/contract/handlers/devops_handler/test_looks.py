"""What one look could not send yet goes with the next one, and one without news sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlgate.emulators.azure_devops import Task
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.runs import Attempt, RunStatus
from mlgate.orchestration.telling import Results
from tests.contract.handlers.devops_handler.day import Day, Logging
from tests.contract.handlers.devops_handler.support import Scene

RUNNING = Results("b", "1", "mlgate")


class Scripted(Logging):
    """A run goes on until it is told to have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.over: set[str] = set()

    def _status(self, attempt: Attempt) -> RunStatus:
        return super()._status(attempt) if attempt.run in self.over else RunStatus.RUNNING


@pytest.fixture
def backend() -> Scripted:
    return Scripted()


@pytest.fixture
def day(tmp_path: Path, backend: Scripted) -> Iterator[Day]:
    with Day(tmp_path) as made:
        made.world.backend = backend
        yield made


def watched(day: Day) -> Task:
    """Three runs that go on, with nothing left to show."""
    task = day.begin()
    for _ in range(4):
        day.world.deliver()
    return task


def end_within_a_second(day: Day, backend: Scripted) -> None:
    """Two of the three, each seen at once by a look of its own."""
    [build] = day.world.state.builds()
    for name in "ab":
        backend.over.add(name)
        assert day.world.conductor.hint(build.key)
        day.world.clock.sleep(0.25)


def test_runs_that_end_together_are_shown_while_the_others_go_on(
    day: Day, backend: Scripted
) -> None:
    task = watched(day)
    end_within_a_second(day, backend)
    assert "b" not in [result.name for result in task.test_runs[0].results.values()]
    for _ in range(3):
        day.world.deliver()
    assert (task.record.operation or "").startswith("2/3 runs")
    assert any(line.text.startswith("b: passed") for line in task.feed)
    results = task.test_runs[0].results.values()
    assert [(each.name, list(each.attachments)) for each in results] == [
        ("a", ["log.txt"]),
        ("b", ["log.txt"]),
    ]
    backend.over.add("c")
    day.end()


def test_a_look_without_news_only_asks_whether_the_step_still_waits(
    day: Day, backend: Scripted
) -> None:
    task = watched(day)
    end_within_a_second(day, backend)
    for _ in range(3):
        day.world.deliver()
    before = len(day.server.requests)
    for _ in range(20):
        day.world.deliver()
    assert {request.call for request in day.server.requests[before:]} == {"records.get"}
    assert len(day.server.requests) - before <= 20
    assert task.completions == []
    backend.over.add("c")
    day.end()


def test_a_test_run_that_somebody_ended_is_looked_for_once(scene: Scene) -> None:
    """By each process, however many looks there are."""
    assert scene.publish(RUNNING)
    assert scene.publish(replace(RUNNING, verdict=Verdict.CANCELED))
    before = scene.calls.count("runs.list")
    elsewhere = scene.another_handler()
    for _ in range(5):
        scene.clock.step(5)
        assert elsewhere.publish(RUNNING)
    assert scene.calls.count("runs.list") == before + 1
