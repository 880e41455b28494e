"""No build waits for another's slow work, nor for a host whose clock is wrong."""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from mlgate.orchestration.builds import RepositoryRequest, Verdict
from mlgate.orchestration.engine.conductor import CHECKOUTS
from mlgate.orchestration.errors import Busy
from mlgate.orchestration.runs import Attempt, Observation
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import BackendTwin, HandClock, RepositoryTwin, World

SECOND = timedelta(seconds=1)
SWEEP = 15 * SECOND
STALE = SECOND / 20  # what a message costs that turns out to be stale
WAIT = 20  # seconds; broken, and so raised, unless it comes


@dataclass
class Costly(BackendTwin):
    """Each look, and each submission, takes its handler so long."""

    seconds: float = 0.0
    spent: float = 0.0
    looked: Callable[[str], object] | None = None

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        self.spent += self.seconds
        if self.looked is not None:
            self.looked(attempts[0].build)
        return super().look(attempts)


@dataclass
class OneCheckout(RepositoryTwin):
    """A repository that one at a time checks out, in a minute."""

    clock: HandClock = field(default_factory=HandClock)
    free_at: datetime = NOON
    spent: float = 0.0
    refused: int = 0

    @contextmanager
    def around(self, request: RepositoryRequest) -> Iterator[None]:
        if self.clock.time < self.free_at:
            self.refused += 1
            raise Busy("Another checkout of it is under way.", 5)
        self.free_at = self.clock.time + 60 * SECOND
        self.spent += 60
        yield


class Fleet:
    """Handlers that take messages in the order they became due; each is busy while it handles one,
    and what it sends is sent when it is done. A sweep each 15 seconds."""

    def __init__(self, world: World, handlers: int) -> None:
        self._world = world
        self._free = [NOON] * handlers
        self._swept = NOON
        self.handled = 0

    def run(self, until: datetime, spent: Callable[[], float]) -> None:
        world = self._world
        while world.queue.messages and world.clock.time < until:
            world.queue.messages.sort(key=lambda message: message[0])
            due = max(world.queue.messages[0][0], self._free[0])
            if due >= self._swept + SWEEP:
                self._swept += SWEEP
                world.clock.time = self._swept
                world.conductor.sweep()
                continue
            world.clock.time = heapq.heappop(self._free)  # `deliver` moves on to when it is due
            waiting, before = len(world.queue.messages) - 1, spent()
            world.deliver()
            self.handled += 1
            cost = max(STALE, (spent() - before) * SECOND)
            heapq.heappush(self._free, world.clock.time + cost)
            sent = world.queue.messages[waiting:]
            world.queue.messages[waiting:] = [(at + cost, name, body) for at, name, body in sent]


@pytest.mark.parametrize("seconds", [30, 45, 60, 120, 300])
@pytest.mark.parametrize("sweeping", [True, False])
def test_an_idle_host_whose_clock_is_fast_delays_a_build_by_its_error_at_most(
    world: World, seconds: float, sweeping: bool
) -> None:
    """It sweeps each 15 seconds, or else it is the only one there is."""
    fast = world.host(seconds * SECOND)
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    swept, deliveries = NOON, 0
    while world.build(key).open:
        world.queue.messages.sort(key=lambda message: message[0])
        if not world.queue.messages or world.queue.messages[0][0] > swept + SWEEP:
            swept += SWEEP
            world.clock.time = max(world.clock.time, swept)
            fast.sweep()
            continue
        world.backend.endless = world.clock.time < NOON + timedelta(minutes=5)
        world.deliver(host=world.conductor if sweeping else fast)
        deliveries += 1
        assert world.clock.time < NOON + timedelta(minutes=20)

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert world.clock.time - NOON <= timedelta(minutes=6) + seconds * SECOND
    assert deliveries < 150


def test_of_two_hundred_builds_none_waits_much_longer_than_its_share(world: World) -> None:
    """Looks of two seconds, four handlers: each build's turn comes each 100 seconds."""
    builds, handlers, seconds = 200, 4, 2.0
    share = builds * seconds / handlers * SECOND
    looked: dict[str, list[datetime]] = defaultdict(lambda: [NOON])
    backend = Costly(
        seconds=seconds,
        endless=True,
        looked=lambda build: looked[build].append(world.clock.time),
    )
    world.backend = backend
    for _ in range(builds):
        world.start({"name": "a"}, pipeline=False)
    end = NOON + timedelta(minutes=20)
    fleet = Fleet(world, handlers)
    fleet.run(end, lambda: backend.spent)

    assert len(looked) == builds
    gaps = {
        build: max(later - sooner for sooner, later in zip(times, [*times[1:], end], strict=True))
        for build, times in looked.items()
    }
    assert max(gaps.values()) < 1.5 * share
    looks = sum(len(times) - 1 for times in looked.values())
    assert fleet.handled < 2.5 * looks, "the sweep feeds the queue"


def test_of_twenty_builds_of_one_repository_none_fails_for_waiting(world: World) -> None:
    """One checkout at a time, of a minute each; and who waits holds no handler meanwhile."""
    repository = OneCheckout(clock=world.clock)
    world.repository = repository
    backend = Costly(seconds=1)
    world.backend = backend
    keys = [world.start({"name": "a"}, pipeline=False) for _ in range(20)]
    Fleet(world, 4).run(NOON + timedelta(hours=2), lambda: repository.spent + backend.spent)

    assert {world.build(key or "").verdict for key in keys} == {Verdict.SUCCEEDED}
    assert repository.refused > 20
    assert world.clock.time - NOON < timedelta(minutes=25)


class Stuck(RepositoryTwin):
    """Checkouts that take until they are let go."""

    def __init__(self, of: int) -> None:
        super().__init__()
        self.together = threading.Barrier(of + 1, timeout=WAIT)
        self.go = threading.Event()

    @contextmanager
    def around(self, request: RepositoryRequest) -> Iterator[None]:
        if not self.go.is_set():
            self.together.wait()
            assert self.go.wait(WAIT)
        yield


def test_looks_are_not_held_up_by_checkouts(world: World) -> None:
    """However many builds begin at once: the other handlers are free for looks."""
    world.backend.endless = True
    watched = world.start({"name": "a"}, pipeline=False)
    assert watched
    world.deliver()
    world.repository = stuck = Stuck(CHECKOUTS)
    host = world.conductor
    [follow_up] = world.queue.messages
    world.queue.messages.clear()
    keys = [world.start({"name": "a"}, pipeline=False) for _ in range(CHECKOUTS + 2)]
    threads = [threading.Thread(target=host.hint, args=(key,)) for key in keys[:CHECKOUTS]]
    for thread in threads:
        thread.start()
    stuck.together.wait()

    world.queue.messages.clear()
    assert [host.hint(key or "") for key in keys[CHECKOUTS:]] == [True, True]
    assert all(at > world.clock.time for at, _, _ in world.queue.messages), "they come again"
    assert [world.build(key or "").commit for key in keys[CHECKOUTS:]] == [None, None]
    world.queue.messages = [follow_up]
    before = world.build(watched).look
    world.deliver()
    assert world.build(watched).look == before + 1

    stuck.go.set()
    for thread in threads:
        thread.join(WAIT)
    assert [world.build(key or "").commit is not None for key in keys] == [True, True, False, False]
    assert [host.hint(key or "") for key in keys] == [True] * len(keys)
    assert all(world.build(key or "").commit for key in keys)
