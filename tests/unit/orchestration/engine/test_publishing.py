"""What the pipeline is given besides the verdict, and that the verdict never waits for it long."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from mlgate.orchestration.admission.tokens import expires_at, outlived
from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.runs import FailureKind, Outcome, RunStatus
from tests.unit.orchestration.engine.builders import NOON, outcome
from tests.unit.orchestration.engine.twins import PROPERTIES, World


def finished(world: World, key: str | None) -> Verdict:
    """The verdict that was posted, once, to a build that is over."""
    assert key
    world.run_to_end()
    assert world.build(key).phase is Phase.COMPLETED
    [(completion, _)] = world.pipeline.completions
    return completion.verdict


def test_results_come_before_the_verdict(world: World) -> None:
    """With the number of the pipeline's build and the build's own files."""
    world.backend.outcomes = {"b": [outcome(FailureKind.CODE)]}
    assert finished(world, world.start({"name": "a"}, {"name": "b"}, build_id="4711")) == "failed"
    final = world.pipeline.published[-1]
    assert (final.build_id, final.verdict) == ("4711", Verdict.FAILED)
    assert {run.name: run.status for run in final.runs} == {
        "a": RunStatus.SUCCEEDED,
        "b": RunStatus.FAILED,
    }
    assert "# Failed" in final.summary
    [(completion, _)] = world.pipeline.completions
    assert completion.variables["runs.failed"] == "1"
    assert all(world.files.read(final.build, name) for name in final.files)


def test_each_run_is_told_of_when_it_ends(world: World) -> None:
    """First that there is a test run, then what has ended since, at last everything."""
    finished(world, world.start({"name": "a"}, {"name": "b", "needs": ["a"]}))
    told = [(len(each.runs), each.verdict) for each in world.pipeline.published]
    assert told[0] == (0, None)
    assert (1, None) in told
    assert told[-1] == (2, Verdict.SUCCEEDED)
    assert len({each.title for each in world.pipeline.published}) == 1


def test_a_build_without_a_number_says_so(world: World) -> None:
    """The build's own key, which people see instead, is none of the pipeline's."""
    finished(world, world.start({"name": "a"}))
    assert world.pipeline.published[-1].build_id is None


def test_a_large_build_is_published_in_slices(world: World) -> None:
    world.pipeline.slices = 7
    assert finished(world, world.start({"name": "a"})) == "succeeded"
    assert len([each for each in world.pipeline.published if each.verdict]) == 7


def test_publishing_that_goes_well_may_take_as_long_as_it_takes(world: World) -> None:
    real = world.pipeline.publish

    def publish(*what: Any) -> bool:
        world.clock.sleep(20)
        return real(*what)

    world.pipeline.publish = publish  # type: ignore[assignment,method-assign]  # one method of a twin, for this test
    world.pipeline.slices = 60
    key = world.start({"name": "a"})
    assert finished(world, key) == "succeeded"
    assert key
    assert len([each for each in world.pipeline.published if each.verdict]) == 60
    assert world.build(key).warnings == ()


def test_a_passing_fault_is_sat_out(world: World) -> None:
    world.pipeline.faults = {"publish": [Temporary("busy", 30)] * 3}
    key = world.start({"name": "a"})
    assert finished(world, key) == "succeeded"
    assert key
    assert world.pipeline.published[-1].verdict
    assert world.build(key).warnings == ()


@pytest.mark.parametrize(
    "fault", [Temporary("busy", 30), Permanent("no leave"), RuntimeError("a bug of ours")]
)
def test_what_cannot_be_published_is_a_warning_and_the_verdict_is_posted(
    fault: Exception, world: World
) -> None:
    """However it fails, and for however long: the step shows why it shows no more."""
    world.pipeline.faults = {"publish": [fault] * 100}
    key = world.start({"name": "a"})
    for _ in range(50):
        if not world.queue.messages:
            break
        message = world.queue.messages[0]
        try:
            world.deliver()
        except RuntimeError:
            world.queue.messages.append(message)
    [(completion, _)] = world.pipeline.completions
    assert completion.verdict is Verdict.SUCCEEDED
    assert str(fault) in completion.warnings[-1]
    assert key
    assert world.build(key).phase is Phase.COMPLETED
    assert world.clock.now() < NOON + timedelta(minutes=10)


def test_results_that_cannot_be_shown_yet_are_no_fault_of_the_build(world: World) -> None:
    """They all come with the end."""
    world.pipeline.faults = {"publish": [RuntimeError("a bug of ours"), Temporary("busy")]}
    key = world.start({"name": "a"}, {"name": "b", "needs": ["a"]})
    assert finished(world, key) == "succeeded"
    assert key
    assert world.build(key).warnings == ()
    assert len(world.pipeline.published[-1].runs) == 2


def test_a_canceled_pipeline_is_told_to_abort_and_nothing_else(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"}, {"name": "b"})
    assert key
    for _ in range(3):
        world.deliver()
    world.pipeline.waiting = False
    world.run_to_end()
    assert world.build(key).verdict is Verdict.CANCELED
    assert world.pipeline.completions == []
    last = world.pipeline.published[-1]
    assert (last.verdict, last.runs, last.summary) == (Verdict.CANCELED, (), "")
    assert world.pipeline.told_after_the_end == []


def test_warnings_of_builds_and_runs_become_warnings_of_the_step(world: World) -> None:
    world.repository.tree.warnings = ("a link was left out",)
    world.backend.outcomes = {"a": [Outcome(RunStatus.SUCCEEDED, warnings=("no kernel named",))]}
    finished(world, world.start({"name": "a"}))
    [(completion, _)] = world.pipeline.completions
    assert completion.warnings == ("a link was left out", "a: no kernel named")


def jwt(**claims: object) -> SecretStr:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return SecretStr(f"e30.{body}.c2ln")


def test_a_token_that_the_build_may_outlive_is_warned_of_once(world: World) -> None:
    """In the log that people read, and with both remedies."""
    token = jwt(exp=(NOON + timedelta(hours=2)).timestamp())
    envelope = world.envelope({"name": "a"}, deadline_minutes=180)
    properties = {**PROPERTIES, "AuthToken": token.get_secret_value()}
    world.pipeline.token = token.get_secret_value()
    world.conductor.handle(type(envelope)(envelope.body, properties, envelope.message_id))
    world.run_to_end()
    lines = [line for shown in world.pipeline.shown for line in shown.lines]
    [warning] = [line for line in lines if "MLGATE_DEVOPS_IDENTITY" in line]
    assert "expires at 2026-01-01 14:00 UTC" in warning
    assert "deadline_minutes" in warning


@pytest.mark.parametrize(
    "token",
    [
        SecretStr("opaque"),
        SecretStr("a.b.c"),
        SecretStr("e30.%.x"),
        jwt(),
        jwt(exp="soon"),
        jwt(exp=1e30),
        jwt(exp=None),
        SecretStr("e30.WzFd.x"),
    ],
    ids=range(8),
)
def test_a_token_that_says_nothing_is_not_warned_of(token: SecretStr) -> None:
    assert expires_at(token) is None
    assert outlived(token, NOON) is None


def test_a_token_that_lasts_is_not_warned_of() -> None:
    assert outlived(jwt(exp=NOON.timestamp()), NOON) is None
