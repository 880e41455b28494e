"""A lease lasts as long as the work under it, and no longer than an hour."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.engine import pace
from mlgate.orchestration.engine.looks import (
    MOST_RENEWALS,
    RENEWAL_SECONDS,
    RENEWALS_A_CHECK,
    hanging,
    held,
)
from mlgate.orchestration.errors import Temporary
from tests.support.memory import MemoryState
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import HandClock, World

WAIT = 20  # seconds, at most
MOMENT = 0.001


@dataclass
class Counted(MemoryState):
    """Counts how often it was asked for a lease."""

    asked: int = 0
    faults: list[Exception] = field(default_factory=list)
    often: threading.Event = field(default_factory=threading.Event)

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        self.asked += 1
        if self.asked > 5:
            self.often.set()
        if self.asked > 1 and self.faults:
            raise self.faults.pop(0)
        return super().lease(key, owner, seconds)

    def release(self, key: str, owner: str) -> None:
        super().release(key, owner)
        if self.faults:
            raise self.faults.pop(0)


def wait_for_keeper_of(key: str) -> None:
    """Until nobody renews the lease any more."""
    for each in threading.enumerate():
        if each.name == f"lease-{key}":
            each.join(WAIT)


def test_a_lease_is_renewed_while_the_work_goes_on_whatever_fails() -> None:
    state = Counted(HandClock(), faults=[Temporary("busy"), KeyError("a bug")])
    with held(state, "renewed", "me", every=MOMENT) as ours:
        assert ours
        assert state.often.wait(WAIT)
        assert not state.lease("renewed", "another", 10)
    assert state.lease("renewed", "another", 10)


def test_a_handler_that_hangs_in_a_call_does_not_keep_its_build_for_ever() -> None:
    state = Counted(HandClock())
    with held(state, "hanging", "me", every=MOMENT, most=7):
        wait_for_keeper_of("hanging")
        assert state.asked == 1 + 7
    assert RENEWAL_SECONDS * MOST_RENEWALS <= 3600


@pytest.mark.parametrize("why", ["canceled", "deadline", "verdict", "nothing"])
def test_a_handler_that_hangs_gives_way_once_somebody_waits_for_the_end(
    world: World, why: str
) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    limit = pace.LONGEST_ENDING
    if why == "canceled":
        assert world.conductor.cancel(key, "Somebody did.")
    elif why == "deadline":
        world.clock.time = world.build(key).deadline
    elif why == "verdict":
        stored = world.state.load(key)
        assert stored is not None
        assert world.state.save(replace(stored.build, phase=Phase.COMPLETING), stored.version)
        limit = pace.LONGEST_TELLING
    asks = hanging(world.state, key, world.clock)
    assert not asks()
    world.clock.time += limit - timedelta(seconds=1)
    assert not asks()
    world.clock.time += timedelta(seconds=1)
    assert asks() is (why != "nothing")


def test_it_counts_from_when_somebody_waits_and_from_each_step_that_begins(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    steps = [0]
    asks = hanging(world.state, key, world.clock, lambda: steps[0])
    assert not asks()
    world.clock.time += timedelta(minutes=10)
    assert world.conductor.cancel(key, "Somebody did.")
    for _ in range(2):
        assert not asks()
        world.clock.time += pace.LONGEST_ENDING - timedelta(seconds=1)
        assert not asks()
        steps[0] += 1
    assert not asks()
    world.clock.time += pace.LONGEST_ENDING
    assert asks()


def test_the_lease_of_a_handler_that_hangs_is_over_soon() -> None:
    state = Counted(HandClock())
    answers = [False, True]
    with held(state, "gives", "me", every=MOMENT, hangs=lambda: answers.pop(0)):
        wait_for_keeper_of("gives")
    assert state.asked == 2 * RENEWALS_A_CHECK
    assert answers == []


def test_a_lease_that_somebody_else_has_is_not_touched() -> None:
    state = Counted(HandClock())
    state.lease("k", "another", 10)
    with held(state, "k", "me", every=MOMENT) as ours:
        assert not ours
    assert not state.lease("k", "a third", 10)


def test_a_lease_that_cannot_be_given_back_leaves_a_good_look_done(world: World) -> None:
    """It ends by itself, and the look counts."""
    world.state = state = Counted(world.clock)
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    state.faults = [Temporary("busy")]
    world.deliver()
    assert state.faults == []

    assert world.build(key).look == 1
    world.backend.endless = False
    world.run_to_end()
    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert len(world.backend.submitted) == 1
