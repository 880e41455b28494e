"""What a build asks of blob storage: money for each request, and time in each look."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from pydantic import SecretStr

from mlgate.orchestration.builds import Phase
from mlgate.orchestration.sweeper import sweep
from tests.contract.state.conftest import BlobWorld, Storage
from tests.unit.orchestration.builders import build


def test_a_start_is_three_writes(world: BlobWorld, storage: Storage) -> None:
    world.conductor.handle(world.envelope({"name": "a"}))
    assert storage.relay.counted() == {"PUT open": 1, "PUT secrets": 1, "PUT builds": 1}


def test_a_quiet_look_is_two_reads_a_lease_and_a_write(world: BlobWorld, storage: Storage) -> None:
    world.backend.endless = True
    world.conductor.handle(world.envelope({"name": "a"}, pipeline=False))
    for _ in range(3):
        world.deliver()
    storage.relay.counted()
    world.deliver()

    lease = {"PUT leases": 1, "DELETE leases": 1}
    assert storage.relay.counted() == {"GET builds": 2, "PUT builds": 1, **lease}


def test_with_a_pipeline_a_quiet_look_reads_the_token_as_well(
    world: BlobWorld, storage: Storage
) -> None:
    world.backend.endless = True
    world.conductor.handle(world.envelope({"name": "a"}))
    for _ in range(3):
        world.deliver()
    storage.relay.counted()
    world.deliver()

    assert storage.relay.counted() == {
        "GET builds": 2,
        "GET secrets": 3,  # asked whether it waits, shown what is new, given new results
        "PUT builds": 2,  # when the pipeline was asked, and the next look
        "PUT leases": 1,
        "DELETE leases": 1,
    }


def test_a_whole_build_of_one_run_is_some_forty_requests(
    world: BlobWorld, storage: Storage
) -> None:
    world.conductor.handle(world.envelope({"name": "a"}))
    world.run_to_end()

    assert storage.relay.counted().total() <= 40
    [ended] = world.blobs.builds()
    assert ended.phase is Phase.COMPLETED


def test_a_sweep_costs_what_is_open_whatever_ended_before(
    world: BlobWorld, storage: Storage
) -> None:
    for number in range(30):
        open_one = build(key=f"{number:020x}", received_at=world.clock.now())
        world.blobs.create(open_one, SecretStr("radioactive"))
        found = world.blobs.load(open_one.key)
        assert found is not None
        if number >= 5:
            world.blobs.save(replace(open_one, phase=Phase.COMPLETED), found.version)
    storage.relay.counted()

    assert sweep(world.conductor, "sweeper") == []
    assert storage.relay.counted() == {"LIST open": 1, "GET builds": 5}
    assert len(world.blobs.builds(10)) == 10
    assert storage.relay.counted() == {"LIST open": 1, "LIST ended": 1, "GET builds": 15}


def test_work_that_takes_long_renews_its_lease_with_one_request(storage: Storage) -> None:
    state = storage.state()
    state.lease("k", "me", 10)
    storage.relay.counted()
    state.lease("k", "me", 10)
    state.lease("k", "another", 10)

    assert storage.relay.counted() == Counter({"PUT leases": 2, "HEAD leases": 1, "GET leases": 1})
