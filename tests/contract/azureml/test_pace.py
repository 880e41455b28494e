"""How often a host writes to a workspace."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handlers.azureml_handler.transport import Pace
from tests.unit.orchestration.twins import HandClock


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
