"""Messages that become no build: who is told, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Permanent, Temporary
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


def test_an_outage_while_rejecting_is_made_up_for(world: World) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503", delay=8)] * 2
    for delivery in (1, 2):
        with pytest.raises(Temporary):
            world.conductor.handle(replace(envelope, delivery_count=delivery))
    assert not world.conductor.mend(envelope, "MaxDeliveryCountExceeded"), "people may see it"

    assert completion_of(world)[0] is Verdict.FAILED
    assert sum(world.clock.slept) >= 8


def test_a_message_with_half_a_character_is_rejected_like_any_other(world: World) -> None:
    body = b'{"version": 1, "build_id": "\\ud800"}'
    rejected = world.conductor.handle(Envelope(body, {}, "id"))

    assert rejected is not None
    assert [found.build_id for found in world.state.rejections()] == ["\ufffd"]


def test_a_rejection_that_nobody_waits_for_is_remembered_however_late(world: World) -> None:
    envelope = replace(world.envelope({"name": "A B"}, pipeline=False), delivery_count=7)

    assert world.conductor.handle(envelope) is not None
    assert len(world.state.rejections()) == 1
