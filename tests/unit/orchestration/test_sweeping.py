"""What the sweeper finds lost or given up, it mends; the rest it leaves alone."""

from __future__ import annotations

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.ports import Envelope
from mlgate.orchestration.sweeper import SLACK, sweep, take_up
from tests.unit.orchestration.conftest import completion_of
from tests.unit.orchestration.twins import World


def test_a_lost_message_is_mended_by_the_sweeper(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.queue.messages.clear()
    assert sweep(world.conductor, "sweeper") == []
    world.clock.time += SLACK

    assert sweep(world.conductor, "sweeper") == [key]
    world.run_to_end()
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_the_old_chain_is_stale_once_the_sweeper_began_a_new_one(world: World) -> None:
    world.start({"name": "train"})
    old = world.queue.messages[0]
    world.clock.time += SLACK
    sweep(world.conductor, "sweeper")
    world.queue.messages.remove(old)
    world.conductor.handle(Envelope(old[2], {}, old[1]))

    assert world.backend.submitted == []
    world.run_to_end()
    assert len(world.backend.submitted) == 1


def test_the_sweeper_leaves_a_build_alone_that_somebody_is_at(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.clock.time += SLACK
    assert world.state.lease(key, "busy", 3600)

    assert sweep(world.conductor, "sweeper") == []


def test_a_start_that_the_queue_gave_up_on_is_handled_after_all(world: World) -> None:
    assert take_up(world.conductor, world.envelope({"name": "train"}))
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_start_that_cannot_be_taken_up_is_looked_at_again(world: World) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503")]

    assert not take_up(world.conductor, envelope)
    assert take_up(world.conductor, envelope)
    assert completion_of(world)[0] is Verdict.FAILED
