"""From message to verdict, however often a message comes and whoever else is at it."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.state_handler import SqliteState
from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.engine.looks import LEASE_SECONDS
from mlgate.orchestration.runs import Attempt, FailureKind, Observation, RunStatus
from tests.unit.orchestration.engine.builders import NOON, outcome
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import TOKEN, BackendTwin, Killed, TreeTwin, World

LEASE = timedelta(seconds=LEASE_SECONDS)


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


def test_the_hosts_log_has_the_life_of_a_build(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mlgate")
    key = world.start({"name": "train"}, {"name": "test"})
    assert key
    world.run_to_end()

    build = world.build(key)
    assert [record.getMessage() for record in caplog.records] == [
        f"build {build.build_id}: received",
        f"build {build.build_id}: 2 runs of commit {build.commit}",
        f"build {build.build_id}: succeeded: {build.reason}",
    ]


def test_without_a_pipeline_the_verdict_is_in_the_files_alone(world: World) -> None:
    key = world.start({"name": "train"}, pipeline=False)
    assert key
    world.run_to_end()

    assert world.build(key).verdict is Verdict.SUCCEEDED
    assert world.pipeline.shown == []
    assert world.pipeline.completions == []


def test_the_token_is_gone_once_the_pipeline_was_told(world: World, tmp_path: Path) -> None:
    world.state = SqliteState(tmp_path / "state.db", world.clock)
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
    world.queue.faults = [Killed()]
    with pytest.raises(Killed):
        world.conductor.handle(Envelope(body, {}, message_id))
    assert world.queue.messages == []
    assert world.build(key).look == 1

    world.clock.time += LEASE
    world.conductor.handle(Envelope(body, {}, message_id, delivery_count=2))
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert len(world.backend.submitted) == 1


def test_a_look_that_is_redelivered_early_has_the_next_one_sent_for_when_it_is_due(
    world: World,
) -> None:
    world.backend.endless = True
    key = world.start({"name": "train"})
    assert key
    at, message_id, body = world.queue.messages[0]
    world.deliver()
    world.queue.messages.clear()
    world.conductor.handle(Envelope(body, {}, message_id, 2, at))

    [(due, _, sent)] = world.queue.messages
    assert due == world.build(key).next_look_at
    assert json.loads(sent)["look"] == world.build(key).look == 1


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


def test_a_look_that_goes_back_again_and_again_comes_later_each_time(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    world.state.lease(key, "somebody else", 1000)
    pauses = []
    for _ in range(6):
        world.deliver()
        [(due, _, _)] = world.queue.messages
        pauses.append((due - world.clock.time).total_seconds())

    assert pauses == [2, 4, 8, 16, 30, 30]


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


def test_a_metric_that_is_no_number_is_left_out_with_a_warning(world: World) -> None:
    world.backend.outcomes["a"] = [outcome(metrics={"loss": math.nan, "accuracy": 1.0})]
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    assert world.build(key).run("a").metrics == {"accuracy": 1.0}
    assert world.build(key).run("a").warnings == ("The metric loss is not a number.",)


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


class Running(BackendTwin):
    """Tells of each run that it has started, and of nothing more."""

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        seen = Observation(RunStatus.RUNNING, started_at=NOON)
        return dict.fromkeys(attempts, seen)


def test_the_live_log_has_what_a_look_saw_once(world: World) -> None:
    """A look that only sees is saved once, at its end; what it saw is shown all the same."""
    world.backend = Running()
    world.start({"name": "a"})
    for _ in range(5):
        world.deliver()

    lines = [line for progress in world.pipeline.shown for line in progress.lines]
    assert lines.count("a: started") == 1
