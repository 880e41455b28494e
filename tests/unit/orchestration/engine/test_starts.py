"""Starts that come again, late, or not at all: each step that waits is answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.durable import Envelope, Rejected
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.runs import RunStatus
from tests.support.memory import MemoryState
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import PROPERTIES, World


def judged(world: World) -> str:
    """A build that has ended, and whose step was told."""
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()
    assert len(world.pipeline.completions) == 1
    return key


def again(world: World, **fields: Any) -> Rejected | None:
    """Another start of the same step, from which a job that is run again cannot be told apart."""
    return world.conductor.handle(world.envelope({"name": "a"}, **fields))


def assert_told(world: World, code: str) -> None:
    completion, _ = world.pipeline.completions[-1]
    assert completion.verdict is Verdict.FAILED
    assert [finding.code for finding in completion.findings] == [code]
    assert all(finding.remedy for finding in completion.findings)


def test_a_step_that_is_run_again_without_an_attempt_is_failed_at_once(world: World) -> None:
    key = judged(world)
    before = world.build(key)
    world.pipeline.waiting = True
    rejected = again(world)

    assert rejected is not None
    assert "System.JobAttempt" in rejected.description
    assert_told(world, "already-judged")
    assert not world.pipeline.waiting
    assert world.build(key) == before
    assert world.queue.messages == []
    assert len(world.backend.submitted) == 1


def test_a_step_that_is_run_again_with_its_attempt_is_a_build_of_its_own(world: World) -> None:
    judged(world)
    world.pipeline.waiting = True
    assert again(world, attempt=2) is None
    world.run_to_end()

    assert [completion.verdict for completion, _ in world.pipeline.completions] == ["succeeded"] * 2
    assert len(world.state.builds()) == 2


def test_a_late_copy_of_a_start_is_told_to_nobody(world: World) -> None:
    key = judged(world)
    before = world.build(key)

    assert again(world) is None
    assert len(world.pipeline.completions) == 1
    assert world.build(key) == before
    assert world.queue.messages == []
    assert world.state.rejections() == []


@pytest.mark.parametrize("same", [True, False])
def test_a_start_whose_pipeline_refuses_the_question_is_told_in_doubt(
    world: World, same: bool
) -> None:
    judged(world)
    world.pipeline.waiting = True
    world.pipeline.faults["is_waiting"] = [Permanent("The token has expired.")]

    assert again(world, **({} if same else {"deadline_minutes": 7})) is not None
    assert_told(world, "already-judged")
    [_, (_, doubt)] = world.pipeline.completions
    assert doubt


def test_the_step_of_an_open_build_is_not_ended_because_its_pipeline_refuses_the_question(
    world: World,
) -> None:
    assert world.start({"name": "a"})
    world.pipeline.faults["is_waiting"] = [Permanent("The token has expired.")] * 2

    assert again(world) is None
    assert world.pipeline.completions == []


def test_a_start_whose_pipeline_does_not_answer_comes_again(world: World) -> None:
    """From the dead letters: no handler waits for it."""
    judged(world)
    world.pipeline.waiting = True
    world.pipeline.faults["is_waiting"] = [Temporary("503")]
    slept = len(world.clock.slept)
    rejected = again(world)
    assert rejected is not None
    assert rejected.reason == "PipelineUnanswered"
    assert "503" in rejected.description
    assert len(world.clock.slept) == slept
    assert world.state.rejections() == []

    assert not world.conductor.mend(world.envelope({"name": "a"}), "PipelineUnanswered")
    assert_told(world, "already-judged")


def test_a_step_that_is_run_again_while_the_canceled_one_s_runs_still_end(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    world.pipeline.waiting = False
    world.backend.faults["look"] = [Temporary("busy")] * 99
    while not world.build(key).pipeline_ended:
        world.deliver()
    assert world.build(key).open
    world.pipeline.waiting = True
    world.pipeline.said_ended = False

    assert again(world) is not None
    assert_told(world, "already-judged")
    world.run_to_end()
    assert world.build(key).verdict is Verdict.CANCELED
    assert len(world.pipeline.completions) == 1


def test_another_body_of_a_step_whose_build_is_open_is_a_finding(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()

    assert again(world, deadline_minutes=7) is not None
    assert_told(world, "different-body")
    world.run_to_end()
    assert world.build(key).run("a").status is RunStatus.CANCELED
    assert len(world.pipeline.completions) == 1


@pytest.mark.parametrize(
    "fault", [None, Permanent("The token is refused.")], ids=["answered", "refused"]
)
def test_another_start_of_an_open_build_is_no_second_build(
    world: World, fault: Permanent | None
) -> None:
    """Nor does it come back for ever where the pipeline refuses to be asked for it."""
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    if fault is not None:
        world.pipeline.faults["is_waiting"] = [fault] * 2
    assert again(world) is None
    world.backend.endless = False
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert [attempt.run for attempt in world.backend.submitted] == ["a"]
    assert world.state.token(key) is None


def test_a_step_that_is_run_again_before_its_cancel_was_seen_is_answered(world: World) -> None:
    """By another timeline than the one that the open build would complete."""
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    envelope = world.envelope({"name": "a"})
    timeline = {"TimelineId": "66666666-6666-6666-6666-666666666666"}
    properties = {**envelope.properties, **timeline}

    assert world.conductor.handle(replace(envelope, properties=properties)) is not None
    assert_told(world, "already-judged")


def test_another_copy_of_an_open_build_s_start_has_it_looked_at(world: World) -> None:
    """The handler of the first one may have died before it sent for the look."""
    key = world.start({"name": "a"})
    assert key
    world.queue.messages.clear()
    assert again(world) is None
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


@pytest.mark.parametrize("ended", [True, False])
def test_a_start_whose_question_may_kill_its_hosts_is_answered_without_it(
    world: World, ended: bool
) -> None:
    """After so many deliveries that did not end, its pipeline is asked by nobody."""
    if ended:
        judged(world)
    else:
        assert world.start({"name": "a"})
    world.pipeline.waiting = True
    asked: list[None] = []
    world.pipeline.on_asked = lambda: asked.append(None)
    rejected = world.conductor.handle(replace(world.envelope({"name": "a"}), delivery_count=4))

    assert asked == []
    assert (rejected is not None) is ended
    if ended:
        assert_told(world, "already-judged")


@dataclass
class FullState(MemoryState):
    """Nothing new can be stored."""

    full: bool = True

    def create(self, build: Build, token: SecretStr | None) -> bool:
        if self.full:
            raise Temporary("The disk is full.")
        return super().create(build, token)


def deliver_until_it_is_settled(world: World, envelope: Envelope) -> Rejected | None:
    """By a queue that gives it back as often as it is raised, with a minute in between."""
    while world.clock.time < NOON + timedelta(hours=1):
        try:
            return world.conductor.handle(envelope)
        except Temporary:
            envelope = replace(envelope, delivery_count=envelope.delivery_count + 1)
            world.clock.time += timedelta(minutes=1)
    raise AssertionError("it was never settled")


def test_a_start_that_cannot_be_stored_for_ten_minutes_ends_its_step(world: World) -> None:
    world.state = FullState(world.clock)
    rejected = deliver_until_it_is_settled(world, world.envelope({"name": "a"}, build_id="42"))

    assert rejected is not None
    assert rejected.reason == "NotStored"
    assert_told(world, "not-stored")
    assert "The disk is full." in world.pipeline.completions[0][0].findings[0].message
    [found] = world.state.rejections()
    assert (found.build_id, found.reason) == ("42", rejected.description)
    late = world.clock.time - NOON
    assert timedelta(minutes=10) <= late < timedelta(minutes=12)


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_start_that_can_be_stored_in_time_is_a_build(world: World, minutes: float) -> None:
    world.state = state = FullState(world.clock)
    envelope = world.envelope({"name": "a"})
    host = world.host(timedelta(minutes=minutes))
    for _ in range(4):
        with pytest.raises(Temporary):
            host.handle(envelope)
        world.clock.time += timedelta(minutes=1)
    state.full = False
    assert host.handle(replace(envelope, delivery_count=5)) is None
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_start_without_a_step_is_tried_until_it_can_be_stored(world: World) -> None:
    """Nobody waits, so nobody needs an answer; its deliveries run out, and it is mended."""
    world.state = state = FullState(world.clock)
    envelope = world.envelope({"name": "a"}, pipeline=False)
    world.clock.time += timedelta(minutes=30)
    with pytest.raises(Temporary):
        world.conductor.handle(envelope)
    state.full = False

    assert world.conductor.mend(envelope, "MaxDeliveryCountExceeded")
    world.run_to_end()
    [build] = world.state.builds()
    assert build.verdict is Verdict.SUCCEEDED


def test_the_time_in_the_queue_counts_towards_the_deadline(world: World) -> None:
    envelope = world.envelope({"name": "a"}, deadline_minutes=180)
    world.clock.time += timedelta(hours=2)
    world.backend.endless = True
    assert world.conductor.handle(envelope) is None
    [build] = world.state.builds()
    assert build.deadline == NOON + timedelta(hours=3)
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert (verdict, reason) == (
        Verdict.FAILED,
        "The deadline of 180 minutes passed before these runs ended: a.",
    )
    assert world.clock.time - build.deadline < timedelta(minutes=10)


def test_a_start_that_comes_after_its_deadline_begins_nothing(world: World) -> None:
    envelope = world.envelope({"name": "a"}, deadline_minutes=60)
    world.clock.time += timedelta(hours=2)
    assert world.conductor.handle(envelope) is None
    world.run_to_end()

    assert completion_of(world) == (
        Verdict.FAILED,
        "The deadline of 60 minutes passed before the repository was checked out.",
    )
    assert world.backend.submitted == []


def test_a_message_without_an_id_or_a_step_is_refused_by_its_own_words(world: World) -> None:
    """It has no identity but its content, and is remembered by that."""
    body = json.dumps({"version": 1, "runs": []}).encode()
    assert world.conductor.handle(Envelope(body, {}, "")) is not None
    assert world.conductor.handle(Envelope(body, {}, "")) is not None
    assert len(world.state.rejections()) == 1


def test_half_of_a_pipeline_s_properties_are_no_pipeline(world: World) -> None:
    envelope = world.envelope({"name": "a"})
    half = {name: value for name, value in PROPERTIES.items() if name != "AuthToken"}
    rejected = world.conductor.handle(replace(envelope, properties=half))

    assert rejected is not None
    assert "AuthToken" in rejected.description
    assert world.pipeline.completions == []


def test_a_late_start_whose_pipeline_cannot_be_asked_is_told_in_doubt(world: World) -> None:
    envelope = replace(world.envelope({"name": "a"}), enqueued_at=world.clock.time)
    world.clock.time += timedelta(minutes=10)
    world.pipeline.faults["is_waiting"] = [Permanent("The token is refused.")]

    assert world.conductor.handle(envelope) is not None
    assert_told(world, "not-stored")
    [(_, doubt)] = world.pipeline.completions
    assert doubt
    assert len(world.state.rejections()) == 1
