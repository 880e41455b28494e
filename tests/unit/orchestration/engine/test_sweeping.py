"""What the sweep finds lost it sends for once more, whatever clocks say; it holds up nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.durable import Due, Envelope, Stored
from mlgate.orchestration.engine import pace
from mlgate.orchestration.errors import Temporary
from tests.support.memory import MemoryState
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import World

SECOND = timedelta(seconds=1)
SWEEP = timedelta(seconds=15)


def test_a_lost_message_is_mended_by_the_sweep(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.queue.messages.clear()
    assert world.conductor.sweep() == []
    world.clock.time += pace.SLACK

    assert world.conductor.sweep() == [key]
    world.run_to_end()
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_second_message_for_the_same_look_is_harmless(world: World) -> None:
    """The first of them acts, whichever that is, and the other one is no chain of its own."""
    key = world.start({"name": "train"})
    world.clock.time += pace.SLACK
    assert world.conductor.sweep()
    ids = {message_id for _, message_id, _ in world.queue.messages}
    assert len(ids) == len(world.queue.messages) == 2, "no detection of duplicates drops one"
    assert all(key and message_id.startswith(key) for message_id in ids)
    world.backend.endless = True
    for _ in range(5):
        world.deliver()
    assert len(world.queue.messages) == 1
    world.backend.endless = False
    world.run_to_end()

    assert len(world.backend.submitted) == 1
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_sweep_while_somebody_is_at_the_build_costs_a_message(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.queue.messages.clear()
    world.clock.time += pace.SLACK
    assert world.state.lease(key, "busy", 20)
    assert world.conductor.sweep() == [key]
    world.deliver()
    assert world.backend.submitted == []

    world.run_to_end()
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_backlog_is_not_fed_by_those_who_wait_in_it(world: World) -> None:
    """Nobody takes a message for ten minutes, and the build is swept each 15 seconds."""
    world.start({"name": "train"})
    woken = []
    while world.clock.time < NOON + timedelta(minutes=10):
        world.clock.time += SWEEP
        if world.conductor.sweep():
            woken.append(world.clock.time - NOON)

    seconds = [each / SECOND for each in woken]
    gaps = [later - sooner for sooner, later in zip([0.0, *seconds], seconds, strict=False)]
    assert gaps[:4] == [30, 60, 120, 120]
    assert len(seconds) < 8


def test_the_slack_is_the_first_one_again_after_a_look(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "train"})
    assert key
    for seconds in (30, 60, 120):
        world.clock.time += seconds * SECOND
        assert world.conductor.sweep() == [key]
    world.deliver()
    world.queue.messages.clear()
    world.clock.time += pace.SLACK + pace.FASTEST_LOOK

    assert world.conductor.sweep() == [key]


@pytest.mark.parametrize("minutes", [-60, -5, 0])
def test_a_build_that_is_due_soon_is_left_alone(world: World, minutes: float) -> None:
    """Also by a host whose clock is slow, but for one that is slow beyond all measure."""
    world.start({"name": "train"})
    other = world.host(timedelta(minutes=minutes))

    assert other.sweep() == [] or minutes < -1


def test_a_due_time_far_ahead_was_written_by_a_wrong_clock(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "train"})
    assert key
    world.deliver(host=world.host(timedelta(hours=1)))
    due = world.build(key).next_look_at
    assert due is not None
    assert due > world.clock.time + timedelta(hours=1)
    world.queue.messages.clear()

    assert world.conductor.sweep() == [key]
    assert world.queue.messages


def test_a_listing_that_is_older_than_the_build_is_mended(world: World) -> None:
    """The handler that saved the build could not say when it is due."""
    world.backend.endless = True
    key = world.start({"name": "train"})
    assert key
    world.clock.time += timedelta(minutes=10)
    world.deliver()
    world.state.set_due(Due(key, NOON, wakes=2))

    assert world.conductor.sweep() == []
    [due] = world.state.due()
    assert (due.at, due.wakes) == (world.build(key).next_look_at, 0)


def test_a_host_that_cannot_send_looks_itself(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.queue.messages.clear()
    while world.build(key).open:
        world.clock.time += SWEEP
        world.queue.faults = [Temporary("The queue does not answer.")] * 9
        world.conductor.sweep()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert world.clock.time - NOON < timedelta(minutes=2)


def test_a_sweep_for_one_build_leaves_the_others_alone(world: World) -> None:
    first = world.start({"name": "train"}, pipeline=False)
    second = world.start({"name": "train"}, pipeline=False)
    world.clock.time += pace.SLACK

    assert world.conductor.sweep(only=first) == [first]
    assert world.conductor.sweep() == [second]


@dataclass
class SpoiledState(MemoryState):
    """One record cannot be read: another version wrote it, say."""

    spoiled: str | None = None

    def load(self, key: str) -> Stored | None:
        if key == self.spoiled:
            raise Temporary("Another version wrote it.")
        return super().load(key)


def test_one_that_cannot_be_woken_keeps_no_other_from_it(world: World) -> None:
    world.state = state = SpoiledState(world.clock)
    keys = [world.start({"name": "train"}, pipeline=False) for _ in range(3)]
    world.clock.time += pace.SLACK
    state.spoiled = keys[1]

    assert world.conductor.sweep() == [keys[0], keys[2]]


def test_a_start_that_the_queue_gave_up_on_is_handled_after_all(world: World) -> None:
    assert world.conductor.mend(world.envelope({"name": "train"}), "MaxDeliveryCountExceeded")
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_start_that_cannot_be_handled_then_is_asked_about_again(world: World) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503")]

    with pytest.raises(Temporary):
        world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    world.clock.time += timedelta(seconds=30)
    world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    assert completion_of(world)[0] is Verdict.FAILED


def test_a_look_that_the_queue_gave_up_on_is_sent_again(world: World) -> None:
    world.start({"name": "train"})
    [(_, message_id, body)] = world.queue.messages
    world.queue.messages.clear()
    assert world.conductor.mend(Envelope(body, {}, message_id), "MaxDeliveryCountExceeded")
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_dead_letters_of_a_build_that_goes_on_or_has_ended_are_of_no_more_use(
    world: World,
) -> None:
    envelope = world.envelope({"name": "train"})
    world.conductor.handle(envelope)
    [(_, message_id, body)] = world.queue.messages
    assert world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    look = replace(envelope, body=body, message_id=message_id, properties={})
    assert world.conductor.mend(look, "MaxDeliveryCountExceeded")
    world.run_to_end()

    assert world.conductor.mend(look, "MaxDeliveryCountExceeded")
    assert world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    assert len(world.pipeline.completions) == 1
