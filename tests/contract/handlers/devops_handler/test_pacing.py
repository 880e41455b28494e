"""How often a step is written to: a build of 500 runs stays below the service's rate limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handlers.devops_handler.pacing import AT_THE_END, FILES_AT_ONCE, Kind, Pace
from mlgate.emulators.azure_devops import AzureDevOps, Fault, FaultKind, Faults
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.runs import Attempt, RunStatus
from mlgate.orchestration.telling import Completion, Progress
from tests.contract.handlers.devops_handler.day import Day, EachTwice, Logging
from tests.contract.handlers.devops_handler.support import Scene
from tests.unit.orchestration.engine.twins import HandClock

TOGETHER = ("records.patch", "feed", "logs.append", "results.add", "results.update")
FILES = ("attachments.put", "results.attach")
SECOND = timedelta(seconds=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def times_of(server: AzureDevOps) -> dict[str, list[datetime]]:
    """When each kind of call arrived, whatever it was answered."""
    times = defaultdict(list)
    for request in server.requests:
        times[request.call].append(request.at)
    return times


def assert_paced(server: AzureDevOps) -> None:
    times = times_of(server)
    together = dict.fromkeys(TOGETHER, 1 + AT_THE_END)
    for call, most in (together | dict.fromkeys(FILES, FILES_AT_ONCE)).items():
        for number, first in enumerate(times[call]):
            for more, last in enumerate(times[call][number:], 1):
                assert more <= most + (last - first) / SECOND, call


class OneAfterAnother(Logging):
    """Run after run ends, four in a second, each with a log."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self._clock = clock

    def _status(self, attempt: Attempt) -> RunStatus:
        due = self._clock.time - NOON > (int(attempt.run.removeprefix("run-")) + 1) * SECOND / 4
        return super()._status(attempt) if due else RunStatus.RUNNING


BAD = (
    Fault.answering(429, "0"),
    Fault.answering(503),
    Fault(FaultKind.RESET),
    Fault(FaultKind.LOST),
)


@pytest.mark.parametrize("faults", [Faults, lambda: EachTwice(*BAD)], ids=["good", "bad"])
@pytest.mark.parametrize("expired", [False, True], ids=["token", "identity"])
def test_a_build_of_500_runs_is_told_at_a_bounded_pace(
    faults: type[Faults], expired: bool, tmp_path: Path
) -> None:
    """From its first request to its last one, also where each has to be made three times, and
    where the token is not taken any more."""
    day = Day(tmp_path, faults())
    day.identity = expired
    day.world.clock.time = NOON
    day.world.backend = OneAfterAnother(day.world.clock)
    with day:
        task = day.begin([f"run-{number}" for number in range(500)])
        if expired:
            task.expire_token()
        assert day.end(most=3000) is Verdict.SUCCEEDED
        assert_paced(day.server)
        [build] = day.world.state.builds()
        assert build.finished_at is not None
        assert day.server.requests[-1].at - build.finished_at < timedelta(minutes=5)
        assert task.completions == ["succeeded"]
        [tests] = task.test_runs
        assert len(tests.results) == 500
    assert max(times_of(day.server)["feed"]) > NOON + 100 * SECOND


def lines(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"line {number}" for number in range(first, last + 1))


def test_the_end_waits_for_lines_a_few_seconds(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has them all by then; the feed, which is gone with the step, gets some."""
    began = scene.clock.now()
    scene.show(Progress(10, "0/2 runs", lines(1, 1900)))
    scene.complete(Completion(Verdict.SUCCEEDED, "2 of 2 runs passed"))
    assert scene.clock.now() - began < timedelta(seconds=8)
    assert scene.task.log.count("\n") == 1900
    assert 500 <= len(scene.task.feed) < 1000
    missing = 1900 - len(scene.task.feed)
    assert f"the last {missing} lines are missing from the live log" in caplog.text
    assert_paced(scene.server)


def test_an_ordinary_end_does_not_wait(scene: Scene) -> None:
    """An ordinary end waits for none: what was shown before has left it a request of each."""
    scene.show(Progress(10, "1/2 runs", lines(1, 3)))
    scene.show(Progress(20, "2/2 runs", lines(4, 5), first_line=4))
    scene.complete(Completion(Verdict.SUCCEEDED, "2 of 2 runs passed"))
    assert scene.clock.slept == []
    assert [line.text for line in scene.task.feed] == list(lines(1, 5))


def test_each_build_has_a_pace_of_its_own(scene: Scene) -> None:
    for number in range(20):
        scene.another_task().show(Progress(10, f"build {number}", ("started",)))
    assert scene.calls.count("records.patch") == scene.calls.count("feed") == 20


def sent(kind: Kind, *seconds: float) -> Pace:
    pace = Pace()
    for moment in seconds:
        pace.send(kind, NOON + moment * SECOND)
    return pace


@pytest.mark.parametrize(
    ("kind", "before", "now", "requests", "wait"),
    [
        (Kind.RESULTS_ADDED, [], 0, 1, 0),
        (Kind.RESULTS_ADDED, [0], 0, 1, 1),
        (Kind.RESULTS_ADDED, [0], 0.25, 1, 0.75),
        (Kind.RESULTS_ADDED, [0], 1, 1, 0),
        (Kind.RESULTS_ADDED, [0, 60], 60.5, 1, 0.5),
        (Kind.RESULTS_ADDED, [3600], 0, 1, 0),  # the clock was set back
        (Kind.RESULTS_ADDED, [3600, 0], 0.5, 1, 0.5),
        (Kind.FEED, [0], 0, 2, 1),  # what is shown leaves room for the end
        (Kind.FEED, [0], 0, 1, 0),
        (Kind.FEED, [0, 0], 0, 1, 1),
        (Kind.RESULT_FILE, [0] * 29, 0, 1, 0),
        (Kind.RESULT_FILE, [0] * 29, 0, 3, 2),
        (Kind.RESULT_FILE, [0] * 30, 0, 1, 1),
        (Kind.RESULT_FILE, [0] * 30, 10, 10, 0),
        (Kind.RESULT_FILE, [0] * 30, 10, 11, 1),
        (Kind.RESULT_FILE, [0] * 30, 60, 30, 0),
        (Kind.RESULT_FILE, [0] * 30, 60, 99, 0),  # more than ever are: a full burst has to do
    ],
)
def test_the_next_request_waits_for_its_turn(
    kind: Kind, before: Sequence[float], now: float, requests: int, wait: float
) -> None:
    assert sent(kind, *before).wait(kind, NOON + now * SECOND, requests) == wait


def test_a_pipeline_without_limits_gets_all_files_at_once() -> None:
    pace = Pace(files_at_once=1000)
    for _ in range(900):
        pace.send(Kind.RESULT_FILE, NOON)
    assert pace.wait(Kind.RESULT_FILE, NOON, 50) == 0
    pace.send(Kind.RESULTS_ADDED, NOON)
    assert pace.wait(Kind.RESULTS_ADDED, NOON) == 1


def test_kinds_do_not_wait_for_one_another() -> None:
    pace = sent(Kind.FEED, 0, 0)
    assert [pace.wait(kind, NOON) for kind in (Kind.FEED, Kind.LOG, None)] == [1, 0, 0]
