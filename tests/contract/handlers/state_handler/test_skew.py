"""A host whose clock is wrong is told, by what the storage's answers say of the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handlers.blobs.times import ServiceTimes
from handlers.state_handler import SqliteState
from mlgate.orchestration.durable import Due
from tests.contract.handlers.state_handler.conftest import Storage, WrongClock
from tests.unit.orchestration.engine.builders import NOON, build
from tests.unit.orchestration.engine.twins import HandClock

ROUNDING = 2.0  # seconds, in which requests are answered as well


@pytest.fixture
def right(storage: Storage) -> Storage:
    """The hosts' clock shows what the storage's does."""
    storage.clock.time = datetime.now(UTC)
    return storage


@pytest.mark.parametrize("seconds", [-300, -42, -5, 0, 5, 42, 300])
def test_the_difference_is_known_after_an_answer(seconds: float, right: Storage) -> None:
    state = right.state(timedelta(seconds=seconds))
    assert state.skew() is None
    state.due()

    skew = state.skew()
    assert skew is not None
    # The hand of the test's clock stands still: each second that the test takes, it falls behind.
    assert -30 < skew.total_seconds() - seconds < ROUNDING


def test_a_wrong_clock_is_told_with_the_remedy_and_not_all_the_time(
    right: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    state = right.state(timedelta(hours=1))
    for _ in range(5):
        state.lease("k", "me", 10)
        state.due()
    assert caplog.text.count("ahead of the storage's. Set it right (NTP)") == 1
    right.later(599)
    state.due()
    assert caplog.text.count("ahead of the storage's") == 1
    right.later(1)
    state.due()
    assert caplog.text.count("ahead of the storage's") == 2

    right.state(timedelta(hours=-1)).due()
    assert "behind the storage's" in caplog.text


def test_a_clock_that_is_about_right_is_not_told(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    class TheRealOne:
        def now(self) -> datetime:
            return datetime.now(UTC)

        def sleep(self, seconds: float) -> None:
            raise AssertionError

    container = storage.container(clock=TheRealOne())
    for _ in range(3):
        container.check()
    skew = container.skew()
    assert skew is not None
    assert abs(skew.total_seconds()) < ROUNDING
    assert "clock" not in caplog.text


class Answer:
    """As a pipeline's hook sees one."""

    def __init__(self, given: datetime | None, *, ours: bool = True) -> None:
        headers = {"x-ms-request-id": "1"} if ours else {}
        if given is not None:
            headers["Date"] = given.strftime("%a, %d %b %Y %H:%M:%S GMT")
        self.http_response = self
        self.headers = headers


def asked(times: ServiceTimes, clock: HandClock, answer: Answer, took: float = 0.0) -> None:
    hooks = times.hooks()
    hooks["raw_request_hook"](None)
    clock.sleep(took)
    hooks["raw_response_hook"](answer)


def test_more_answers_make_it_more_exact() -> None:
    clock = HandClock()
    times = ServiceTimes(clock)
    for number in range(10):
        # 7.4 s ahead, and asked at each tenth of a second.
        clock.time = NOON + timedelta(seconds=7.4 + number * 1.1)
        asked(times, clock, Answer(NOON + timedelta(seconds=int(number * 1.1))))

    skew = times.skew()
    assert skew is not None
    assert abs(skew.total_seconds() - 7.4) < 0.2


def test_a_clock_that_is_set_right_is_seen() -> None:
    clock = HandClock()
    times = ServiceTimes(WrongClock(clock, timedelta(seconds=60)))
    asked(times, clock, Answer(NOON))
    assert times.skew() is not None
    clock.time -= timedelta(seconds=60)
    asked(times, clock, Answer(NOON))

    skew = times.skew()
    assert skew is not None
    assert abs(skew.total_seconds()) < 1


def test_what_says_little_is_not_believed() -> None:
    clock = HandClock()
    times = ServiceTimes(clock)
    asked(times, clock, Answer(NOON - timedelta(hours=1)), took=60)
    asked(times, clock, Answer(NOON - timedelta(hours=1), ours=False))
    asked(times, clock, Answer(None))

    assert times.skew() is None


def test_one_machine_s_state_has_no_clock_but_its_own(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.db")
    state.create(build(), None)
    assert state.due() == [Due(build().key, NOON)]
    assert state.skew() is None
