"""How often a host writes to a workspace."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handlers.azureml_handler.transport import LONGEST_WAIT, Pace, Waits
from mlgate.orchestration.errors import Throttled
from tests.unit.orchestration.engine.twins import HandClock

WRITES = ("management.azure.com", False)
READS = ("management.azure.com", True)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def pass_through(pace: Pace, times: int) -> None:
    for _ in range(times):
        pace.wait()


def test_a_burst_passes_at_once_and_the_rest_at_the_rate(clock: HandClock) -> None:
    pace = Pace(clock, 10, 4)
    pass_through(pace, 10)
    assert clock.slept == []
    pass_through(pace, 3)
    assert clock.slept == [0.25] * 3


def test_what_was_not_used_comes_back_up_to_the_burst(clock: HandClock) -> None:
    pace = Pace(clock, 10, 4)
    pass_through(pace, 10)
    clock.time += timedelta(seconds=1)
    pass_through(pace, 4)
    assert clock.slept == []
    clock.time += timedelta(days=1)
    pass_through(pace, 10)
    assert clock.slept == []
    pass_through(pace, 1)
    assert clock.slept == [0.25]


def test_a_clock_that_is_set_back_holds_nobody_up_for_long(clock: HandClock) -> None:
    pace = Pace(clock, 10, 4)
    pass_through(pace, 10)
    clock.time -= timedelta(days=1)
    pass_through(pace, 1)
    assert sum(clock.slept) <= 3


def test_what_the_service_asked_to_wait_holds_for_requests_of_that_kind(clock: HandClock) -> None:
    waits = Waits(clock)
    waits.ask(WRITES, 7)
    waits.ask(WRITES, 3)
    waits.keep(READS)
    assert clock.slept == []
    waits.keep(WRITES)
    waits.keep(WRITES)
    assert clock.slept == [7]


def test_what_is_asked_meanwhile_is_waited_for_as_long_as_that_can_be_sat_out() -> None:
    class Busy(HandClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            waits.ask(WRITES, 8)

    clock = Busy()
    waits = Waits(clock)
    waits.ask(WRITES, 8)
    with pytest.raises(Throttled, match="asks to wait for 8 seconds") as told:
        waits.keep(WRITES)
    assert told.value.delay == 8
    assert clock.slept == [8, 8]


def test_no_wait_outlasts_what_was_asked_when_the_clock_is_set_back(clock: HandClock) -> None:
    waits = Waits(clock)
    waits.ask(WRITES, LONGEST_WAIT)
    clock.time -= timedelta(days=1)
    waits.keep(WRITES)
    assert clock.slept == [LONGEST_WAIT]
