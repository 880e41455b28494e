"""What a fault of each outside thing costs a build, passing or for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from handlers.state_handler import SqliteState
from mlgate.orchestration.builds import Gate, GateMetric, Phase, RepositoryRequest, Verdict
from mlgate.orchestration.engine import pace
from mlgate.orchestration.engine.looks import LEASE_SECONDS
from mlgate.orchestration.errors import Busy, Permanent, Temporary, UnfitHost
from mlgate.orchestration.ports import READ_LIMIT, BuildFiles
from mlgate.orchestration.runs import FailureKind, Outcome, RunStatus
from tests.unit.orchestration.engine.builders import NOON, outcome
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import Killed, RepositoryTwin, TreeTwin, World

LEASE = timedelta(seconds=LEASE_SECONDS)
NOTEBOOK = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'


@dataclass
class Unreadable:
    """Files that can be written, and not be read."""

    real: BuildFiles
    fault: Exception

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        raise self.fault


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


PREPARING = (
    (Temporary("It does not answer."), "It does not answer."),
    (UnfitHost("The host has no identity."), "The host has no identity."),
    (ZeroDivisionError("a bug"), "mlgate met an unexpected error: ZeroDivisionError('a bug')"),
)


@pytest.mark.parametrize("call", ["checkout", "stage"])
@pytest.mark.parametrize(("fault", "said"), PREPARING, ids=str)
def test_what_keeps_a_build_from_beginning_is_borne_for_ten_minutes(
    world: World, call: str, fault: Exception, said: str
) -> None:
    faults: list[BaseException] = [fault] * 999
    if call == "checkout":
        world.repository.faults = faults
    else:
        world.backend.faults[call] = [fault] * 999
    key = world.start({"name": "train"})
    assert key
    while world.clock.time < NOON + timedelta(minutes=9):
        world.deliver()
    assert world.build(key).open
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, said)
    assert world.build(key).infrastructure
    assert world.clock.time < NOON + timedelta(minutes=12)


def test_what_kept_a_build_from_beginning_says_nothing_of_its_end(world: World) -> None:
    """Each phase has its own troubles, however near the limit those of the last one came."""
    bug = ZeroDivisionError("a bug")
    world.backend.faults["stage"] = [bug] * 12
    key = world.start({"name": "train"})
    assert key
    while world.backend.faults["stage"]:
        world.deliver()
    assert world.clock.time > NOON + timedelta(minutes=7)
    world.pipeline.faults = {"publish": [bug] * 3, "complete": [bug] * 3}
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert world.pipeline.published[-1].verdict is Verdict.SUCCEEDED
    assert world.build(key).warnings == ()


def cut_short(world: World, times: int) -> None:
    world.repository.faults = [Killed()] * times
    while world.repository.faults:
        world.queue.messages.append(world.queue.messages[0])
        with pytest.raises(Killed):
            world.deliver()
        world.clock.time += LEASE


def test_a_checkout_that_its_host_cuts_short_each_time_fails_the_build(world: World) -> None:
    key = world.start({"name": "train"})
    assert key
    cut_short(world, 3)
    world.run_to_end()

    verdict, reason = completion_of(world)
    assert verdict is Verdict.FAILED
    assert reason.startswith("3 hosts died while they checked out its repository")
    assert world.build(key).infrastructure
    assert world.backend.submitted == []


@dataclass
class SharedProcess(RepositoryTwin):
    """Checks out two builds at the same time; the one named `bad` ends the process of both."""

    beside: Callable[[], object] = lambda: None
    under_way: list[str] = field(default_factory=list)

    @contextmanager
    def around(self, request: RepositoryRequest) -> Iterator[None]:
        self.under_way.append(request.url)
        try:
            if len(self.under_way) == 1:
                self.beside()
            if any(url.endswith("/bad") for url in self.under_way):
                raise Killed
            yield
        finally:
            self.under_way.pop()


@pytest.mark.parametrize("first", ["bad", "good"])
@pytest.mark.parametrize(
    "begun",
    [{}, {"prepare": 1}],
    ids=["new", "after two deaths and a turn that found no place for a checkout"],
)
def test_a_build_that_kills_its_host_is_the_only_one_that_fails_for_it(
    world: World, begun: dict[str, int], first: str
) -> None:
    url = "https://dev.azure.com/contoso/p/_git"
    keys = {}
    for name in (first, "good" if first == "bad" else "bad"):
        keys[name] = world.start(
            {"name": "train"}, pipeline=False, repository={"url": f"{url}/{name}"}
        )
        stored = world.state.load(keys[name] or "")
        assert stored is not None
        world.state.save(replace(stored.build, begun=begun), stored.version)
    deaths = 0

    def beside() -> None:
        if world.queue.messages:
            world.deliver()

    world.repository = SharedProcess(beside=beside)
    while world.queue.messages:
        delivered = list(world.queue.messages)
        try:
            world.deliver()
        except Killed:
            deaths += 1
            lost = [each for each in delivered if each not in world.queue.messages]
            world.queue.messages += lost
            world.clock.time += LEASE

    bad, good = world.build(keys["bad"] or ""), world.build(keys["good"] or "")
    assert bad.verdict is Verdict.FAILED
    assert good.verdict is Verdict.SUCCEEDED
    assert deaths <= 4
    assert world.clock.time < NOON + timedelta(minutes=4)


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
    world.state = SqliteState(tmp_path / "state.db", world.clock)
    (tmp_path / "state.db").unlink()
    (tmp_path / "state.db").mkdir()

    with pytest.raises(Temporary):
        world.start({"name": "a"})

    assert sum(world.clock.slept) > 1


def test_trouble_is_remembered_as_long_as_it_lasts(world: World) -> None:
    world.backend.faults["stage"] = [Temporary("It does not answer.")] * 2
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    world.deliver()
    [trouble] = world.build(key).troubles
    assert (trouble.step, trouble.times, trouble.what) == ("prepare", 2, "It does not answer.")
    world.deliver()
    assert world.build(key).troubles == ()


def test_waiting_for_ones_turn_is_no_trouble(world: World) -> None:
    """However long it takes: half an hour here."""
    world.repository.faults = [Busy("Another checkout is under way.", 5)] * 360
    key = world.start({"name": "a"})
    assert key
    while world.repository.faults:
        world.deliver()
        assert world.build(key).troubles == ()
    assert world.clock.time > NOON + timedelta(minutes=29)
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


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
    assert world.clock.time < build.deadline + pace.ENDING_GRACE + timedelta(minutes=2)
    assert build.run("a").status.ended


def test_a_disk_that_stays_full_costs_the_files_and_not_the_verdict(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "builds").write_text("a file in the way")
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert "could not be written" in world.build(key).warnings[-1]
    assert world.clock.time < NOON + timedelta(minutes=10)


@pytest.mark.parametrize("fault", [Permanent("400"), UnfitHost("403"), KeyError("bug")], ids=repr)
def test_files_that_cannot_be_read_leave_no_pipeline_untold(world: World, fault: Exception) -> None:
    """What reads them is the report of a failed run, for the files and for the pipeline."""
    notebook = "runs/a/executed.ipynb"
    world.files = cast("BuildFiles", Unreadable(world.files, fault))
    world.backend.outcomes["a"] = [outcome(FailureKind.CODE, evidence=(notebook,))]
    world.repository.tree = TreeTwin({"a.ipynb": NOTEBOOK})
    key = world.start({"name": "a", "kind": "notebook", "path": "a.ipynb"})
    assert key
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.FAILED
    assert not world.build(key).open
    assert world.clock.time < NOON + timedelta(minutes=10)


@pytest.mark.parametrize("waiting", [True, False])
def test_a_build_that_cannot_be_judged_ends_as_infrastructure(world: World, waiting: bool) -> None:
    key = world.start({"name": "a"})
    assert key
    while not world.build(key).runs:
        world.deliver()
    stored = world.state.load(key)
    assert stored is not None
    bound = GateMetric("a", "accuracy", at_least="high")  # type: ignore[arg-type]  # a bug's
    world.state.save(replace(stored.build, gate=Gate(metrics=(bound,))), stored.version)
    world.backend.outcomes["a"] = [Outcome(RunStatus.SUCCEEDED, metrics={"accuracy": 1.0})]
    world.pipeline.waiting = waiting
    began = world.clock.time
    world.run_to_end()

    build = world.build(key)
    assert build.verdict is (Verdict.FAILED if waiting else Verdict.CANCELED)
    assert build.reason.startswith("mlgate met an unexpected error: TypeError")
    assert build.infrastructure
    assert build.finished_at is not None
    assert timedelta(minutes=1) <= build.finished_at - began < timedelta(minutes=3)


def test_a_state_that_lost_the_token_leaves_a_warning(world: World) -> None:
    """Nothing was posted, and nothing can be."""
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    world.state.forget_token(key)
    world.backend.endless = False
    world.run_to_end()

    build = world.build(key)
    assert (build.phase, build.verdict) == (Phase.COMPLETED, Verdict.SUCCEEDED)
    assert world.pipeline.completions == []
    assert build.warnings == ("The pipeline's step could not be completed: Its token is gone.",)
