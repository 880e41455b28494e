"""Builds that end before their runs do: canceled, past the deadline, or left by their host."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.state_handler import SqliteState
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.durable import Stored
from mlgate.orchestration.engine.steps import SLICE
from mlgate.orchestration.errors import Temporary, UnfitHost
from mlgate.orchestration.runs import RunStatus
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import TreeTwin, World


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
    assert world.conductor.cancel(key, "The build was canceled by hand.")
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "The build was canceled by hand.")
    assert world.build(key).run("a").status is RunStatus.CANCELED
    assert not world.conductor.cancel(key, "again")


def test_what_was_submitted_while_somebody_canceled_is_not_forgotten(world: World) -> None:
    key = world.start({"name": "a"})
    assert key
    world.backend.endless = True
    world.backend.on_submit = lambda: world.conductor.abandon(key)
    world.deliver()
    assert world.build(key).run("a").submitted
    assert world.build(key).pipeline_ended
    world.run_to_end()

    assert world.build(key).verdict is Verdict.CANCELED
    assert [attempt.run for attempt in world.backend.canceled] == ["a"]


@pytest.mark.parametrize("way", ["pipeline", "cancel"])
def test_an_end_asked_for_during_the_checkout_has_nothing_submitted(world: World, way: str) -> None:
    key = world.start({"name": "a"}, {"name": "b"}) or ""

    class Meanwhile(TreeTwin):
        def files(self) -> Sequence[str]:
            if way == "pipeline":
                world.pipeline.waiting = False
            else:
                world.conductor.cancel(key, "Enough.")
            return super().files()

    world.repository.tree = Meanwhile({"train.py": b""})
    world.run_to_end()

    assert world.backend.submitted == []
    assert {run.status for run in world.build(key).runs} == {RunStatus.CANCELED}
    verdict = world.build(key).verdict
    assert verdict == (Verdict.CANCELED if way == "pipeline" else Verdict.FAILED)
    assert len(world.pipeline.completions) == (0 if way == "pipeline" else 1)


def test_an_end_asked_for_while_many_runs_are_submitted_comes_before_the_rest(
    world: World,
) -> None:
    key = world.start(*({"name": f"run-{number}"} for number in range(60)))
    assert key
    world.backend.endless = True
    world.backend.on_submit = lambda: world.conductor.cancel(key, "Enough.")
    world.deliver()
    assert len(world.backend.submitted) == SLICE
    assert set(world.backend.submitted) <= set(world.backend.canceled)
    world.run_to_end()

    statuses = {run.status for run in world.build(key).runs}
    assert statuses == {RunStatus.CANCELED}


def test_a_pipeline_given_up_right_before_the_verdict_is_told_nothing(world: World) -> None:
    """It still seemed to wait when it was asked."""
    key = world.start({"name": "a"})
    assert key

    def give_up() -> None:
        if world.build(key).published:
            world.conductor.abandon(key)

    world.pipeline.on_asked = give_up
    world.run_to_end()

    build = world.build(key)
    assert world.pipeline.completions == []
    assert build.pipeline_ended
    assert not build.open


def test_the_deadline_ends_what_never_ends(world: World) -> None:
    world.backend.endless = True
    world.start({"name": "a"}, deadline_minutes=2)
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert reason == "The deadline of 2 minutes passed before these runs ended: a."


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


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_local_runs_whose_host_never_comes_back_end_within_a_quarter_of_an_hour(
    world: World, minutes: float
) -> None:
    """Whatever the clock of the host that is left says."""
    world.backend.host = "first"
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    gone = world.clock.time
    world.backend.host = "second"
    other = world.host(timedelta(minutes=minutes))
    while world.queue.messages:
        world.deliver(host=other)

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert "The host first, where it ran, is gone." in reason
    assert world.build(key).infrastructure
    assert world.state.token(key) is None
    assert timedelta(minutes=10) <= world.clock.time - gone < timedelta(minutes=15)


def test_local_runs_whose_host_was_away_for_some_minutes_go_on(world: World) -> None:
    world.backend.host = "first"
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    began = world.clock.time
    while world.clock.time < began + timedelta(minutes=9):
        world.backend.host = "second"
        world.deliver(host=world.host(timedelta(seconds=1)))
    world.backend.host = "first"
    world.backend.endless = False
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


@pytest.mark.parametrize("way", ["cancel", "deadline"])
def test_the_end_of_local_runs_is_left_to_the_host_that_can_cancel_them(
    world: World, way: str
) -> None:
    """Whoever else receives the look first."""
    world.backend.host = "first"
    world.backend.endless = True
    key = world.start({"name": "a"}, deadline_minutes=5)
    assert key
    world.deliver()
    if way == "cancel":
        world.conductor.cancel(key, "Enough.")
    else:
        world.clock.time = world.build(key).deadline
    world.backend.host = "second"
    for _ in range(3):
        world.deliver(host=world.host(timedelta(seconds=1)))
    assert world.build(key).open
    world.backend.host = "first"
    world.run_to_end()

    assert [attempt.run for attempt in world.backend.canceled] == ["a"]
    assert world.build(key).run("a").status is RunStatus.CANCELED


class ForgetfulState(SqliteState):
    """Stores a build that has ended, and does not answer."""

    def save(self, build: Build, version: str) -> Stored | None:
        saved = super().save(build, version)
        if saved is not None and not build.open:
            raise Temporary("The state does not answer.")
        return saved


def test_a_build_that_has_ended_is_not_opened_again(world: World, tmp_path: Path) -> None:
    world.state = ForgetfulState(tmp_path / "state.db", world.clock)
    key = world.start({"name": "a"})
    assert key
    world.run_to_end(most=10)

    assert not world.build(key).open
    assert world.build(key).verdict is Verdict.SUCCEEDED
    assert len(world.pipeline.completions) == 1


class GuardedState(SqliteState):
    """Lends tokens only while the host may read them."""

    refusals = 0

    def token(self, key: str) -> SecretStr | None:
        stored = self.load(key)
        if self.refusals and stored and stored.build.phase is Phase.COMPLETING:
            self.refusals -= 1
            raise UnfitHost("The host's identity may not read the tokens.")
        return super().token(key)


def test_a_verdict_is_told_once_the_host_may_read_its_token_again(
    world: World, tmp_path: Path
) -> None:
    world.state = state = GuardedState(tmp_path / "state.db", world.clock)
    key = world.start({"name": "a"})
    assert key
    state.refusals = 20
    world.run_to_end()

    assert state.refusals == 0
    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert world.state.token(key) is None
