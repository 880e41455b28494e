"""Builds that end before their runs do: canceled, past the deadline, or left by their host."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from handlers.state_handler import SqliteState
from mlgate.orchestration import requests
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.errors import Temporary, UnfitHost
from mlgate.orchestration.ports import Stored
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.steps import SLICE
from tests.unit.orchestration.conftest import completion_of
from tests.unit.orchestration.twins import World


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


def test_an_end_asked_for_while_many_runs_are_submitted_comes_before_the_rest(
    world: World,
) -> None:
    key = world.start(*({"name": f"run-{number}"} for number in range(60)))
    assert key
    world.backend.endless = True
    world.backend.on_submit = lambda: requests.cancel(world.state, key, "Enough.")
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
            requests.abandon(world.state, key)

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
