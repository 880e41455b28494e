"""What a fault of each outside thing costs a build, passing or for good."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlgate.orchestration import steps
from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.runs import RunStatus
from tests.unit.orchestration.conftest import completion_of
from tests.unit.orchestration.twins import World


def test_a_run_that_the_backend_refuses_fails_alone(world: World) -> None:
    world.backend.faults["submit"] = [Permanent("Unknown compute target 'x'.")]
    key = world.start({"name": "a"}, {"name": "b"}, gate={"condition": "any_pass"})
    assert key
    world.run_to_end()

    build = world.build(key)
    assert [run.status for run in build.runs] == [RunStatus.FAILED, RunStatus.SUCCEEDED]
    assert build.verdict is Verdict.SUCCEEDED


def test_a_repository_that_is_not_there_fails_the_build_with_that_sentence(world: World) -> None:
    world.repository.faults = [Permanent("The repository r was not found.")]
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "The repository r was not found.")
    assert not world.build(key).infrastructure


def test_a_host_that_may_not_stage_fails_the_build_as_infrastructure(world: World) -> None:
    world.backend.faults["stage"] = [UnfitHost("The host has no identity.")]
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "The host has no identity.")
    assert world.build(key).infrastructure


def test_a_repository_that_does_not_answer_is_tried_a_few_times(world: World) -> None:
    world.repository.faults = [Temporary("The server does not answer.")] * 99
    key = world.start({"name": "train"})
    assert key
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert reason == "The server does not answer. Tried 7 times."
    assert world.build(key).infrastructure


class CutShort(BaseException):
    """The process ends in the middle, and the message comes back to another one."""


def cut_short(world: World, times: int) -> None:
    world.repository.faults = [CutShort()] * times
    while world.repository.faults:
        world.queue.messages.append(world.queue.messages[0])
        with pytest.raises(CutShort):
            world.deliver()


def test_a_checkout_that_its_host_cuts_short_each_time_fails_the_build(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    cut_short(world, 3)
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert reason.startswith("The checkout was begun 3 times, and its host ended it")
    assert world.build(key).infrastructure
    assert world.backend.submitted == []


def test_a_checkout_that_is_cut_short_now_and_then_is_begun_again(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    cut_short(world, 2)
    world.repository.faults = [Temporary("The server does not answer.")]
    world.deliver()
    cut_short(world, 2)
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


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


def test_a_disk_that_stays_full_costs_the_files_and_not_the_verdict(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "builds").write_text("a file in the way")
    key = world.start({"name": "a"}, deadline_minutes=5)
    assert key
    world.run_to_end(most=1000)

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert "could not be written" in world.build(key).warnings[-1]
