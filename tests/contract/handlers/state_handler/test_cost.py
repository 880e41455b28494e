"""What a build asks of blob storage: money for each request, and time in each look.

Bounds, not numbers: less is always welcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from pydantic import SecretStr

from handlers.state_handler.blobs import BlobState
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import Due
from tests.contract.handlers.state_handler.conftest import BlobWorld, Storage
from tests.unit.orchestration.engine.builders import NOON, build, run

TOKEN = SecretStr("radioactive")
SMALL = build(run("a"), run("b", needs=("a",)), run("c"), request={"runs": [{"name": "a"}]})


def asked(storage: Storage, act: Callable[[], object]) -> Counter[str]:
    storage.relay.counted()
    act()
    return storage.relay.counted()


def one_look(state: BlobState) -> None:
    """One that finds nothing new."""
    assert state.lease(SMALL.key, "me", 10)
    stored = state.load(SMALL.key)
    assert stored is not None
    begun = state.save(replace(stored.build, begun={"look": 1}), stored.version)
    assert begun is not None
    look = stored.build.look + 1
    assert state.save(replace(begun.build, begun={}, look=look), begun.version)
    state.set_due(Due(SMALL.key, NOON + timedelta(seconds=30)))
    state.release(SMALL.key, "me")


def opened(storage: Storage, made: Build = SMALL) -> BlobState:
    state = storage.state()
    assert state.create(made, TOKEN)
    return state


def test_a_start_is_three_writes(storage: Storage) -> None:
    opened(storage, replace(SMALL, key="another"))
    calls = asked(storage, lambda: opened(storage))
    assert calls <= Counter({"PUT open": 1, "PUT secrets": 1, "PUT builds": 1})


def test_a_quiet_look_is_a_read_a_lease_two_saves_and_when_it_is_due(storage: Storage) -> None:
    state = opened(storage)
    most = Counter({"GET builds": 1, "PUT builds": 2, "PUT open": 1})
    most += Counter({"PUT leases": 1, "DELETE leases": 1})

    assert asked(storage, lambda: one_look(state)) <= most
    assert asked(storage, lambda: one_look(storage.state())) <= most, "of a process that is new"
    storage.relay.counted()
    one_look(storage.state())
    assert storage.relay.moved < 20_000


def test_an_end_is_a_save_and_its_marks(storage: Storage) -> None:
    state = opened(storage)
    stored = state.load(SMALL.key)
    assert stored is not None
    ended = replace(stored.build, phase=Phase.COMPLETED)
    calls = asked(storage, lambda: state.save(ended, stored.version))
    assert calls <= Counter({"PUT builds": 1, "PUT ended": 1, "DELETE open": 1})


def test_what_is_due_costs_one_listing_whatever_ended_before(storage: Storage) -> None:
    state = storage.state()
    for number in range(30):
        opened(storage, build(key=f"{number:020x}", received_at=storage.clock.now()))
        found = state.load(f"{number:020x}")
        assert found is not None
        if number >= 5:
            assert state.save(replace(found.build, phase=Phase.COMPLETED), found.version)
    storage.relay.counted()

    assert len(storage.state().due()) == 5
    assert storage.relay.moved < 10_000
    assert storage.relay.counted() <= Counter({"LIST open": 1})
    assert len(storage.state().builds(10)) == 10
    assert storage.relay.counted() <= Counter({"LIST open": 1, "LIST ended": 1, "GET builds": 15})


def test_work_that_takes_long_renews_its_lease_with_one_request(storage: Storage) -> None:
    state = storage.state()
    state.lease("k", "me", 10)
    assert asked(storage, lambda: state.lease("k", "me", 10)) <= Counter({"PUT leases": 1})
    somebody = asked(storage, lambda: state.lease("k", "another", 10))
    assert somebody <= Counter({"PUT leases": 1, "HEAD leases": 1, "GET leases": 1})


def test_a_whole_build_of_one_run_is_some_forty_requests(
    world: BlobWorld, storage: Storage
) -> None:
    world.conductor.handle(world.envelope({"name": "a"}))
    world.run_to_end()

    assert storage.relay.counted().total() <= 45
    [ended] = world.blobs.builds()
    assert ended.phase is Phase.COMPLETED
