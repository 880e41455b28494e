"""Messages that become no build: who is told, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Busy, Permanent, Temporary, UnfitHost
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import World


def test_a_start_that_was_rejected_is_not_told_again_when_its_deliveries_run_out(
    world: World,
) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    for delivery in (1, 2, 3):
        world.conductor.handle(replace(envelope, delivery_count=delivery))
    assert not world.conductor.mend(envelope, "MaxDeliveryCountExceeded"), "people may see it"
    assert not world.conductor.mend(envelope, "InvalidMessage")

    assert [doubt for _, doubt in world.pipeline.completions] == [False, True, True]
    assert len(world.state.rejections()) == 1
    world.clock.time += timedelta(days=7, minutes=1)
    assert world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    assert world.conductor.mend(envelope, "InvalidMessage")


def test_an_invalid_message_is_told_remembered_and_dead_lettered(world: World) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"}, build_id="42")
    rejected = world.conductor.handle(envelope)

    assert rejected is not None
    assert rejected.reason == "InvalidMessage"
    assert "command" in rejected.description
    [(completion, _)] = world.pipeline.completions
    assert completion.verdict is Verdict.FAILED
    assert completion.findings
    [rejection] = world.state.rejections()
    assert rejection.build_id == "42"
    assert world.state.builds() == []


def test_a_message_for_a_pipeline_that_is_not_allowed_calls_nobody(world: World) -> None:
    world.policy = replace(world.policy, allowed_collections=())
    world.pipeline.faults["complete"] = [Permanent("Not allowed.")]  # as the port's contract says
    rejected = world.conductor.handle(world.envelope({"name": "a"}))

    assert rejected is not None
    assert "MLGATE_ALLOWED_COLLECTIONS" in rejected.description
    assert world.pipeline.faults["complete"] == [], "it was the pipeline port that refused"


@pytest.mark.parametrize("error", [Temporary("503", delay=8), UnfitHost("No identity."), OSError()])
@pytest.mark.parametrize("reason", ["InvalidMessage", "MaxDeliveryCountExceeded"])
def test_a_pipeline_that_is_out_while_rejecting_is_told_from_the_dead_letters(
    error: Exception, reason: str, world: World
) -> None:
    """No handler waits for it: messages of other pipelines come through the same ones.

    A function cannot dead-letter, so there the deliveries run out.
    """
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [error] * 3
    rejected = world.conductor.handle(envelope)
    assert rejected is not None
    assert rejected.reason == "InvalidMessage"
    assert "comand" in rejected.description
    assert not world.clock.slept

    for _ in range(2):
        with pytest.raises(Temporary):
            world.conductor.mend(envelope, reason)
        world.clock.time += timedelta(seconds=30)
    assert not world.conductor.mend(envelope, reason), "people may see it"
    assert completion_of(world)[0] is Verdict.FAILED
    assert not world.conductor.mend(envelope, reason), "it is reported once"
    assert len(world.pipeline.completions) == 1


def test_a_rejection_that_could_not_be_told_is_given_up_when_people_have_seen_it_for_long(
    world: World,
) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503")] * 9
    world.conductor.handle(envelope)
    world.clock.time += timedelta(days=7, minutes=1)

    assert world.conductor.mend(envelope, "InvalidMessage")


def test_a_rejection_that_was_neither_stored_nor_told_is_made_up_for(world: World) -> None:
    """As it may have killed hosts, it is not stored before the step has ended."""
    envelope = replace(world.envelope({"name": "a", "comand": "x"}), delivery_count=9)
    world.pipeline.faults["complete"] = [Temporary("503")]
    assert world.conductor.handle(envelope) is not None

    assert not world.conductor.mend(envelope, "InvalidMessage")
    assert completion_of(world)[0] is Verdict.FAILED
    assert len(world.state.rejections()) == 1


def test_two_hosts_that_see_the_same_dead_letter_report_it_once(world: World) -> None:
    """They only peek at it."""
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503")]
    world.conductor.handle(envelope)
    complete, refused = world.pipeline.complete, list[type[Exception]]()

    def meanwhile(*given: Any, **more: Any) -> None:
        with pytest.raises(Busy) as found:
            world.host(timedelta(seconds=1)).mend(envelope, "InvalidMessage")
        refused.append(found.type)
        complete(*given, **more)

    world.pipeline.complete = meanwhile  # type: ignore[method-assign]  # a twin of this test alone
    assert not world.conductor.mend(envelope, "InvalidMessage")
    assert refused == [Busy]
    assert not world.host(timedelta(seconds=1)).mend(envelope, "InvalidMessage")
    assert [doubt for _, doubt in world.pipeline.completions] == [True]


def test_a_collection_that_hangs_is_asked_for_one_dead_letter_of_a_pass(world: World) -> None:
    envelopes = [
        replace(world.envelope({"name": "a", "comand": "x"}), message_id=each) for each in "abc"
    ]
    world.pipeline.faults["complete"] = [Temporary("503")] * 5
    for envelope in envelopes:
        world.conductor.handle(envelope)
    for envelope in envelopes[2:] * 3:
        with pytest.raises(Temporary):
            world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    assert len(world.pipeline.faults["complete"]) == 1

    world.clock.time += timedelta(seconds=30)
    with pytest.raises(Temporary):
        world.conductor.mend(envelopes[2], "MaxDeliveryCountExceeded")
    assert not world.pipeline.faults["complete"]


def test_a_dead_letter_of_a_step_that_a_later_build_has_is_left_to_that_build(
    world: World,
) -> None:
    first = replace(world.envelope({"name": "a", "comand": "x"}), message_id="first")
    world.pipeline.faults["complete"] = [Temporary("503")]
    world.conductor.handle(first)
    world.clock.time += timedelta(minutes=1)
    world.conductor.handle(replace(world.envelope({"name": "a"}), message_id="second"))

    assert not world.conductor.mend(first, "InvalidMessage")
    assert world.pipeline.completions == []
    world.run_to_end()
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_function_lets_the_deliveries_run_out_with_a_wait(world: World) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503", delay=8)]
    with pytest.raises(Temporary):
        world.conductor.handle(envelope, dead_letters=False)
    assert sum(world.clock.slept) >= 4


def test_of_two_messages_of_one_step_the_later_one_is_told(world: World) -> None:
    """One step waits for both."""
    first = replace(world.envelope({"name": "a", "comand": "x"}), message_id="first")
    world.pipeline.faults["complete"] = [Temporary("503")]
    world.conductor.handle(first)
    world.conductor.handle(replace(first, message_id="second"))

    assert not world.conductor.mend(first, "InvalidMessage")
    assert len(world.pipeline.completions) == 1


def test_a_message_with_half_a_character_is_rejected_like_any_other(world: World) -> None:
    body = b'{"version": 1, "build_id": "\\ud800"}'
    rejected = world.conductor.handle(Envelope(body, {}, "id"))

    assert rejected is not None
    assert [found.build_id for found in world.state.rejections()] == ["\ufffd"]


def test_a_rejection_that_nobody_waits_for_is_remembered_however_late(world: World) -> None:
    envelope = replace(world.envelope({"name": "A B"}, pipeline=False), delivery_count=7)

    assert world.conductor.handle(envelope) is not None
    assert len(world.state.rejections()) == 1
