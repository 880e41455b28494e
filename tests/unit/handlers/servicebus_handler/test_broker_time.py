"""The broker's time, as a host with a wrong clock knows it from the messages that it receives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.servicebus_handler.broker_time import WINDOW_SECONDS, BrokerTime
from tests.unit.handlers.servicebus_handler.clocks import Clocks

OFFSETS = (-300.0, -60.0, -1.0, 0.0, 1.0, 60.0, 300.0)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("off", OFFSETS)
def test_one_message_that_came_at_once_shows_the_time(off: float) -> None:
    clocks = Clocks(off)
    time = BrokerTime(clocks, clocks.steady)
    time.heard(clocks.broker)
    for _ in range(3):
        clocks.sleep(100)
        assert time.now() == clocks.broker


def test_until_something_was_received_the_hosts_clock_is_all_there_is() -> None:
    clocks = Clocks(60)
    assert BrokerTime(clocks, clocks.steady).now() == clocks.now()


@pytest.mark.parametrize("off", OFFSETS)
def test_in_a_backlog_the_time_is_behind_by_the_shortest_wait_and_never_ahead(off: float) -> None:
    clocks = Clocks(off)
    time = BrokerTime(clocks, clocks.steady)
    for wait in (90.0, 45.0, 120.0):
        clocks.sleep(10)
        time.heard(clocks.ago(wait))
    assert time.now() == clocks.ago(45)


@pytest.mark.parametrize("step", [-300.0, 300.0])
def test_a_clock_that_is_set_right_meanwhile_changes_nothing(step: float) -> None:
    clocks = Clocks(-step)
    time = BrokerTime(clocks, clocks.steady)
    time.heard(clocks.broker)
    clocks.sleep(20)
    clocks.off = 0
    assert time.now() == clocks.broker


def test_a_broker_whose_clock_was_set_back_is_believed_after_the_window() -> None:
    clocks = Clocks()
    time = BrokerTime(clocks, clocks.steady)
    time.heard(clocks.broker + timedelta(hours=1))
    clocks.sleep(WINDOW_SECONDS - 1)
    time.heard(clocks.broker)
    assert time.now() == clocks.broker + timedelta(hours=1)
    clocks.sleep(2)
    assert time.now() == clocks.broker


def test_what_was_heard_last_counts_while_nothing_is_received() -> None:
    clocks = Clocks(300)
    time = BrokerTime(clocks, clocks.steady)
    time.heard(clocks.broker)
    clocks.sleep(10 * WINDOW_SECONDS)
    assert time.now() == clocks.broker


def test_a_growing_backlog_is_not_kept_message_by_message() -> None:
    clocks = Clocks()
    time = BrokerTime(clocks, clocks.steady)
    for number in range(20_000):
        clocks.sleep(0.1)
        time.heard(clocks.ago(number))
    assert len(time._shown) <= WINDOW_SECONDS + 1


@given(
    off=st.floats(-300, 300),
    messages=st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=1, max_size=40),
)
def test_with_any_clock_a_pause_ends_in_time_and_early_by_no_more_than_the_shortest_wait(
    off: float, messages: list[tuple[float, float]]
) -> None:
    clocks = Clocks(off)
    time = BrokerTime(clocks, clocks.steady)
    waits: list[tuple[float, float]] = []
    for gap, wait in messages:
        clocks.sleep(gap)
        time.heard(clocks.ago(wait))
        waits.append((clocks.passed, wait))
        # A second is the grain, a thousandth of it what floating point loses.
        lately = [wait for at, wait in waits if clocks.passed - at <= WINDOW_SECONDS - 1]
        behind = clocks.broker - time.now()
        assert -SECOND / 1000 <= behind <= min(lately) * SECOND + SECOND / 1000
