"""A backend that does not answer for some of the runs it is handed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.engine.steps import SLICE
from mlgate.orchestration.errors import Permanent, Temporary, Throttled
from mlgate.orchestration.runs import Failure, FailureKind, RunStatus
from tests.unit.orchestration.engine.twins import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_runs_that_the_backend_took_are_remembered_although_it_did_not_answer_for_others(
    world: World,
) -> None:
    world.backend.faults["submit"] = [Temporary("busy"), Temporary("busy")]
    key = world.start({"name": "a"}, {"name": "b"}, {"name": "c"})
    assert key
    world.backend.endless = True
    world.deliver()
    assert [run.submitted for run in world.build(key).runs] == [False, False, True]
    world.deliver()
    assert [run.submitted for run in world.build(key).runs] == [True, True, True]
    assert [attempt.run for attempt in world.backend.submitted] == ["c", "a", "b"]


def test_a_backend_that_answers_for_none_is_asked_again_when_it_said(world: World) -> None:
    world.backend.faults["submit"] = [Temporary("busy", 300.0)] * 2
    key = world.start({"name": "a"}, {"name": "b"})
    assert key
    world.deliver()
    began = world.clock.time
    while not world.backend.submitted:
        assert not world.backend.faults["submit"]
        world.deliver()
    assert (world.clock.time - began).total_seconds() >= 300
    assert len(world.backend.submitted) == 2


def test_a_run_that_was_not_taken_is_not_handed_over_before_the_backend_said(
    world: World,
) -> None:
    world.backend.faults["submit"] = [Temporary("busy", 300.0)]
    key = world.start({"name": "a"}, {"name": "b"})
    assert key
    world.backend.endless = True
    world.deliver()
    began = world.clock.time
    while not world.build(key).run("a").submitted:
        world.deliver()
    assert (world.clock.time - began).total_seconds() >= 300


def test_once_the_backend_throttles_nothing_is_handed_over_before_it_said(world: World) -> None:
    backend = world.backend

    def submit() -> None:
        if not backend.submitted:
            backend.faults["submit"] = [Throttled("busy", 90.0)]

    backend.on_submit, backend.endless = submit, True
    count = SLICE + 5
    key = world.start(*({"name": f"run-{number}"} for number in range(count)))
    assert key
    world.deliver()
    began = world.clock.time
    while len(backend.submitted) < count:
        assert len(backend.submitted) == 1
        world.deliver()
    assert (world.clock.time - began).total_seconds() >= 90


def test_what_cannot_be_taken_over_keeps_no_other_run_waiting(world: World) -> None:
    world.backend.faults["collect"] = [Temporary("busy")]
    key = world.start({"name": "a"}, {"name": "b"}, {"name": "after", "needs": ["b"]})
    assert key
    world.run_to_end()
    assert world.build(key).verdict is Verdict.SUCCEEDED


def test_what_can_never_be_taken_over_fails_its_run_alone(world: World) -> None:
    world.backend.faults["collect"] = [Permanent("The blob is gone.")]
    key = world.start({"name": "a"}, {"name": "b"})
    assert key
    world.run_to_end()
    failed, passed = world.build(key).runs
    assert failed.failure == Failure(
        FailureKind.INFRASTRUCTURE, "Its results could not be collected: The blob is gone."
    )
    assert passed.status is RunStatus.SUCCEEDED
