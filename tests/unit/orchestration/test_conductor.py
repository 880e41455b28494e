"""From message to verdict, and what faults do on the way."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mlgate.orchestration import requests, steps
from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost, UnusableEnvironment
from mlgate.orchestration.ports import Envelope
from mlgate.orchestration.runs import Failure, FailureKind, RunStatus
from mlgate.orchestration.sweeper import SLACK, sweep
from tests.unit.orchestration.builders import outcome
from tests.unit.orchestration.twins import TOKEN, TreeTwin, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def completion_of(world: World) -> tuple[Verdict, str]:
    """The only completion that was posted."""
    [(completion, _)] = world.pipeline.completions
    return completion.verdict, completion.reason


def test_a_message_becomes_runs_a_verdict_and_files(world: World) -> None:
    key = world.start({"name": "train"}, {"name": "test", "needs": ["train"]})
    assert key
    world.run_to_end()

    build = world.build(key)
    assert (build.phase, build.verdict) == (Phase.COMPLETED, Verdict.SUCCEEDED)
    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert [attempt.run for attempt in world.backend.submitted] == ["train", "test"]
    assert {"result.json", "junit.xml", "report.html"} <= set(world.files.list(key))
    assert json.loads(world.files.read(key, "result.json") or b"")["verdict"] == "succeeded"
    assert world.backend.released == [key]


def test_without_a_pipeline_the_verdict_is_in_the_files_alone(world: World) -> None:
    key = world.start({"name": "train"}, pipeline=False)
    assert key
    world.run_to_end()

    assert world.build(key).verdict is Verdict.SUCCEEDED
    assert world.pipeline.shown == []
    assert world.pipeline.completions == []


def test_the_token_is_gone_once_the_pipeline_was_told(world: World, tmp_path: Path) -> None:
    key = world.start({"name": "train"})
    assert key
    token = world.state.token(key)
    assert token is not None
    assert token.get_secret_value() == TOKEN
    world.run_to_end()

    assert world.state.token(key) is None
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert held
    assert not [path for path in held if TOKEN.encode() in path.read_bytes()]


def test_the_same_message_twice_is_one_build(world: World) -> None:
    first = world.start({"name": "train"})
    second = world.start({"name": "train"})
    world.run_to_end()

    assert first == second
    assert len(world.state.builds()) == 1
    assert len(world.backend.submitted) == 1
    assert len(world.pipeline.completions) == 1


def test_every_message_delivered_twice_changes_nothing(world: World) -> None:
    world.start({"name": "a"}, {"name": "b", "needs": ["a"]})
    for _ in range(200):
        if not world.queue.messages:
            break
        again = world.queue.messages[0]
        world.deliver()
        world.queue.messages.append(again)
        world.deliver(delivery_count=2)

    assert not world.queue.messages
    assert len(world.backend.submitted) == 2
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_handler_that_died_before_scheduling_is_made_up_for_by_its_redelivery(
    world: World,
) -> None:
    key = world.start({"name": "train"})
    assert key
    _at, message_id, body = world.queue.take()
    world.queue.faults = [RuntimeError("killed right before the send")]
    world.backend.endless = True
    with pytest.raises(RuntimeError):
        world.conductor.handle(Envelope(body, {}, message_id))
    assert world.queue.messages == []

    world.conductor.handle(Envelope(body, {}, message_id, delivery_count=2))

    assert [sent for _, sent, _ in world.queue.messages] == [f"{key}-0-1"]


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
    sweep(world.conductor, "sweeper", [world.envelope({"name": "train"})])
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_start_that_was_rejected_is_not_told_again_when_its_deliveries_run_out(
    world: World,
) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    for delivery in (1, 2, 3):
        world.conductor.handle(replace(envelope, delivery_count=delivery))
    sweep(world.conductor, "sweeper", [envelope])

    assert [doubt for _, doubt in world.pipeline.completions] == [False, True, True]
    assert len(world.state.rejections()) == 1


def test_a_look_that_finds_the_lease_taken_comes_again(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.state.lease(key, "somebody else", 30)
    world.deliver()
    assert world.backend.submitted == []
    assert len(world.queue.messages) == 1

    world.state.release(key, "somebody else")
    world.run_to_end()
    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_another_hosts_local_runs_are_handed_back(world: World) -> None:
    world.backend.host = "first"
    world.backend.endless = True
    key = world.start({"name": "train"})
    assert key
    world.deliver()
    world.backend.host = "second"
    world.deliver()

    assert len(world.queue.messages) == 1
    assert world.build(key).look == 1


def test_transient_failures_are_retried_and_the_count_is_told(world: World) -> None:
    world.backend.outcomes["train"] = [outcome(FailureKind.NETWORK), outcome()]
    key = world.start({"name": "train", "retries": 1})
    assert key
    world.run_to_end()

    result = json.loads(world.files.read(key, "result.json") or b"")
    assert result["verdict"] == "succeeded"
    assert result["runs"][0]["attempts"] == 2


def test_a_full_backend_is_waited_for(world: World) -> None:
    world.backend.places = 1
    key = world.start({"name": "a"}, {"name": "b"})
    assert key
    world.deliver()
    assert len(world.backend.submitted) == 1
    world.backend.places = 2
    world.run_to_end()

    assert world.build(key).verdict is Verdict.SUCCEEDED


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Permanent("Unknown compute target 'x'."), FailureKind.INVALID),
        (UnusableEnvironment("a.txt is not UTF-8 text."), FailureKind.ENVIRONMENT),
        (UnfitHost("The host's identity may not do that."), FailureKind.INFRASTRUCTURE),
    ],
    ids=repr,
)
def test_a_run_that_the_backend_refuses_fails_alone(
    world: World, fault: Permanent, kind: FailureKind
) -> None:
    world.backend.faults["submit"] = [fault]
    key = world.start({"name": "a"}, {"name": "b"}, gate={"condition": "any_pass"})
    assert key
    world.run_to_end()

    build = world.build(key)
    assert [run.status for run in build.runs] == [RunStatus.FAILED, RunStatus.SUCCEEDED]
    assert build.run("a").failure == Failure(kind, str(fault))
    assert build.verdict is Verdict.SUCCEEDED


def test_a_host_that_lacks_something_is_no_fault_of_the_build(world: World) -> None:
    world.backend.faults["stage"] = [UnfitHost("The host has no identity.")]
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "The host has no identity.")
    assert world.build(key).infrastructure


def test_a_repository_that_is_not_there_fails_the_build_with_that_sentence(world: World) -> None:
    world.repository.faults = [Permanent("The repository r was not found.")]
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "The repository r was not found.")
    assert not world.build(key).infrastructure


def test_a_repository_that_does_not_answer_is_tried_a_few_times(world: World) -> None:
    world.repository.faults = [Temporary("The server does not answer.")] * 99
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert reason == "The server does not answer. Tried 7 times."
    assert world.build(key).infrastructure


def test_passing_faults_of_the_backend_only_delay(world: World) -> None:
    for call in ("stage", "submit", "look", "collect"):
        world.backend.faults[call] = [Temporary("busy")]
    world.start({"name": "train"})
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert len(world.backend.submitted) == 1


def test_a_pipeline_that_cannot_be_shown_anything_does_not_harm_the_runs(world: World) -> None:
    world.pipeline.faults = {"show": [Temporary("429")] * 9, "is_waiting": [Temporary("503")] * 9}
    world.start({"name": "train"})
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


def test_a_completion_whose_answer_was_lost_is_posted_with_doubt(world: World) -> None:
    world.pipeline.faults["complete"] = [Temporary("the answer was lost")]
    world.start({"name": "train"})
    world.run_to_end()

    [(_, doubt)] = world.pipeline.completions
    assert doubt


def test_a_token_that_is_refused_for_good_ends_the_build_without_a_word(world: World) -> None:
    world.pipeline.faults["complete"] = [Permanent("The token has expired.")]
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    build = world.build(key)
    assert build.phase is Phase.COMPLETED
    assert "The token has expired." in build.warnings[-1]
    assert world.state.token(key) is None


def test_a_canceled_pipeline_cancels_the_runs_and_is_told_nothing_more(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"}, {"name": "b", "needs": ["a"]})
    assert key
    world.deliver()
    world.pipeline.waiting = False
    world.run_to_end()

    build = world.build(key)
    assert build.verdict is Verdict.CANCELED
    assert [run.status for run in build.runs] == [RunStatus.CANCELED, RunStatus.CANCELED]
    assert world.pipeline.told_after_the_end == []
    assert world.pipeline.completions == []
    assert world.state.token(key) is None
    assert world.clock.time - build.received_at < timedelta(seconds=60)


def test_mlgate_cancel_fails_the_gate_with_that_reason(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    assert requests.cancel(world.state, key, "The build was canceled by hand.")
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "The build was canceled by hand.")
    assert world.build(key).run("a").status is RunStatus.CANCELED
    assert not requests.cancel(world.state, key, "again")


def test_what_was_submitted_while_somebody_canceled_is_not_forgotten(world: World) -> None:
    key = world.start({"name": "a"})
    assert key
    world.backend.endless = True
    world.backend.on_submit = lambda: requests.abandon(world.state, key)
    world.deliver()
    assert world.build(key).run("a").submitted
    assert world.build(key).pipeline_ended
    world.run_to_end()

    assert world.build(key).verdict is Verdict.CANCELED
    assert [attempt.run for attempt in world.backend.canceled] == ["a"]


def test_the_deadline_ends_what_never_ends(world: World) -> None:
    world.backend.endless = True
    world.start({"name": "a"}, deadline_minutes=2)
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert reason == "The deadline of 2 minutes passed before these runs ended: a."


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


def test_a_bad_runs_from_fails_the_build_with_its_findings(world: World) -> None:
    world.repository.tree = TreeTwin({"plan.json": b'{"runs": [{"kind": "tarining"}]}'})
    envelope = world.envelope()
    message = json.loads(envelope.body)
    del message["runs"]
    message["runs_from"] = "plan.json"
    world.conductor.handle(replace(envelope, body=json.dumps(message).encode()))
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert "training" in reason
    assert "plan.json" in reason


def test_a_store_that_does_not_answer_is_waited_for_before_the_message_goes_back(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "state.db").unlink()
    (tmp_path / "state.db").mkdir()

    with pytest.raises(Temporary):
        world.start({"name": "a"})

    assert sum(world.clock.slept) > 1


def test_an_error_that_nobody_foresaw_is_remembered_and_at_last_fails_the_build(
    world: World,
) -> None:
    world.backend.faults["stage"] = [ZeroDivisionError("a bug")] * 9
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    assert "ZeroDivisionError('a bug')" in (world.build(key).last_error or "")
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert "ZeroDivisionError('a bug')" in reason
    assert world.build(key).infrastructure


@pytest.mark.parametrize("call", ["look", "cancel", "collect"])
@pytest.mark.parametrize(
    "fault", [Permanent("gone"), Temporary("busy"), ZeroDivisionError("a bug")], ids=repr
)
def test_a_backend_that_fails_for_good_holds_no_build_past_its_deadline(
    world: World, call: str, fault: Exception
) -> None:
    world.backend.endless = call != "collect"
    world.backend.faults[call] = [fault] * 10_000
    key = world.start({"name": "a"}, deadline_minutes=5)
    assert key
    world.run_to_end(most=1000)

    build = world.build(key)
    assert completion_of(world)[0] is Verdict.FAILED
    assert world.clock.time < build.deadline + steps.ENDING_GRACE + timedelta(minutes=2)
    assert build.run("a").status.ended


def test_a_canceled_pipeline_is_seen_although_the_backend_does_not_answer(world: World) -> None:
    world.backend.endless = True
    world.backend.faults["look"] = [Temporary("busy")] * 10_000
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    world.pipeline.waiting = False
    world.run_to_end(most=1000)

    assert world.build(key).verdict is Verdict.CANCELED
    assert world.pipeline.completions == []
    assert world.backend.canceled


def test_a_pipeline_canceled_right_before_the_end_gets_no_verdict(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    world.pipeline.waiting = False
    world.backend.endless = False
    world.run_to_end()

    assert world.build(key).verdict is Verdict.CANCELED
    assert world.pipeline.completions == []


def test_a_disk_that_stays_full_costs_the_files_and_not_the_verdict(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "builds").write_text("a file in the way")
    key = world.start({"name": "a"}, deadline_minutes=5)
    assert key
    world.run_to_end(most=1000)

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert "could not be written" in world.build(key).warnings[-1]


def test_local_runs_whose_host_never_comes_back_end_after_the_deadline(world: World) -> None:
    world.backend.host = "first"
    world.backend.endless = True
    key = world.start({"name": "a"}, deadline_minutes=2)
    assert key
    world.deliver()
    world.backend.host = "second"
    world.deliver()
    assert world.build(key).open
    world.clock.time += timedelta(minutes=15)
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert "The host first, where it ran, did not come back." in reason
    assert world.state.token(key) is None


def test_a_metric_that_is_no_number_is_left_out_with_a_warning(world: World) -> None:
    world.backend.outcomes["a"] = [outcome(metrics={"loss": math.nan, "accuracy": 1.0})]
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    assert world.build(key).run("a").metrics == {"accuracy": 1.0}
    assert world.build(key).run("a").warnings == ("The metric loss is not a number.",)


def test_an_outage_while_rejecting_is_made_up_for(world: World) -> None:
    envelope = world.envelope({"name": "a", "comand": "x"})
    world.pipeline.faults["complete"] = [Temporary("503", delay=8)] * 2
    for delivery in (1, 2):
        with pytest.raises(Temporary):
            world.conductor.handle(replace(envelope, delivery_count=delivery))
    sweep(world.conductor, "sweeper", [envelope])

    assert completion_of(world)[0] is Verdict.FAILED
    assert sum(world.clock.slept) >= 8


def test_a_message_with_half_a_character_is_rejected_like_any_other(world: World) -> None:
    body = b'{"version": 1, "build_id": "\\ud800"}'
    rejected = world.conductor.handle(Envelope(body, {}, "id"))

    assert rejected is not None
    assert [found.build_id for found in world.state.rejections()] == ["?"]


def test_one_find_that_cannot_be_mended_does_not_keep_the_others(world: World) -> None:
    key = world.start({"name": "a"})
    world.queue.messages.clear()
    world.clock.time += SLACK
    broken = Envelope(b"{}", {}, "")  # a message without any identity

    assert sweep(world.conductor, "sweeper", [broken]) == [key]


def test_the_live_log_is_numbered_without_gaps(world: World) -> None:
    world.backend.outcomes["b"] = [outcome(FailureKind.CODE)]
    world.start({"name": "a"}, {"name": "b"})
    world.run_to_end()

    numbers = [
        (progress.first_line, len(progress.lines))
        for progress in world.pipeline.shown
        if progress.lines
    ]
    assert numbers[0][0] == 1
    for (first, count), (following, _) in itertools.pairwise(numbers):
        assert following == first + count
    percents = [progress.percent for progress in world.pipeline.shown]
    assert percents == sorted(percents)
    assert percents[-1] == 100
