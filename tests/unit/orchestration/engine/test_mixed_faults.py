"""Trouble of one run, or of one kind, is not taken for trouble of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.engine.steps import SLICE
from mlgate.orchestration.errors import Temporary, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import (
    Attempt,
    FailureKind,
    Observation,
    Outcome,
    RunStatus,
    Task,
)
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import BackendTwin, World


@dataclass
class Troubled(BackendTwin):
    """Never lets go of `stuck` ones, never takes `denied` ones; `long` goes on until canceled."""

    struck: dict[int, Exception] = field(default_factory=dict)  # by the number of the look
    looks: int = 0

    def submit(self, task: Task) -> bool:
        if task.spec.name.startswith("denied"):
            raise UnfitHost("403 for its environment")
        return super().submit(task)

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        self.looks += 1
        if error := self.struck.get(self.looks):
            raise error
        return super().look(attempts)

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        if task.spec.name.startswith("stuck"):
            raise Temporary("not yet")
        return super().collect(task, files)

    def _status(self, attempt: Attempt) -> RunStatus:
        goes_on = attempt.run == "long" and attempt not in self.canceled
        return RunStatus.RUNNING if goes_on else super()._status(attempt)


def watched(world: World, *names: str) -> str:
    """A build that was looked at for ten minutes."""
    key = world.start(*({"name": name} for name in names))
    assert key
    go_on(world, minutes=10)
    return key


def go_on(world: World, minutes: float) -> None:
    until = world.clock.time + timedelta(minutes=minutes)
    while world.clock.time < until:
        world.deliver()


def test_a_run_that_the_host_may_not_submit_fails_alone_where_others_were_taken(
    world: World,
) -> None:
    world.backend = Troubled()
    key = watched(world, "long", "denied")
    assert world.build(key).run("denied").status is RunStatus.QUEUED
    go_on(world, minutes=10)

    build = world.build(key)
    failure = build.run("denied").failure
    assert failure is not None
    assert (failure.kind, failure.message) == (
        FailureKind.INFRASTRUCTURE,
        "403 for its environment",
    )
    assert build.run("long").status is RunStatus.RUNNING
    assert build.troubles == ()


def test_a_host_that_may_submit_nothing_ends_the_build(world: World) -> None:
    world.backend = Troubled()
    key = world.start({"name": "denied-1"}, {"name": "denied-2"})
    assert key
    world.run_to_end()

    assert completion_of(world) == (Verdict.FAILED, "403 for its environment.")
    assert world.build(key).infrastructure
    assert timedelta(minutes=15) <= world.clock.time - NOON < timedelta(minutes=20)


@pytest.mark.parametrize("error", [UnfitHost("one 403"), KeyError("once")], ids=["right", "bug"])
def test_one_fault_after_many_of_another_kind_is_the_first_of_its_own(
    world: World, error: Exception
) -> None:
    world.backend = Troubled(struck={number: Temporary("busy") for number in range(1, 30)})
    world.backend.struck[20] = error
    build = world.build(watched(world, "long"))

    assert sum(trouble.times for trouble in build.troubles) > 15
    assert build.cancel_requested is None
    world.backend.struck.clear()
    go_on(world, minutes=1)
    build = world.build(build.key)
    assert build.run("long").status is RunStatus.RUNNING
    assert build.troubles == ()


def test_however_many_cannot_be_taken_over_the_others_are(world: World) -> None:
    world.backend = Troubled()
    stuck = [{"name": f"stuck-{number}"} for number in range(2 * SLICE)]
    key = world.start(
        *stuck,
        {"name": "last"},
        {"name": "after", "needs": ["last"]},
        deadline_minutes=3,
        gate={"condition": {"at_least": 2}},
    )
    assert key
    world.run_to_end()

    build = world.build(key)
    assert (build.run("last").status, build.run("after").status) == (RunStatus.SUCCEEDED,) * 2
    assert build.verdict is Verdict.SUCCEEDED


def test_a_verdict_is_told_once_the_host_may_tell_it_again(world: World) -> None:
    world.pipeline.faults["complete"] = [UnfitHost("The identity is refused.")] * 20
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert world.build(key).warnings == ()
