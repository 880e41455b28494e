"""Runs are submitted and collected as many at once as the backend takes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.engine.steps import SLICE
from mlgate.orchestration.errors import Permanent, UnusableEnvironment
from mlgate.orchestration.runs import FailureKind, RunStatus
from tests.unit.orchestration.engine.twins import World

RUNS = [{"name": f"run-{number}"} for number in range(6)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_as_many_calls_are_under_way_at_once_as_the_backend_takes(world: World) -> None:
    together = threading.Barrier(3, timeout=20)  # broken, and so raised, unless three meet
    world.backend.at_once = 3
    world.backend.on_submit = together.wait
    key = world.start(*RUNS)
    assert key
    world.run_to_end()

    assert world.build(key).verdict is Verdict.SUCCEEDED
    assert len(world.backend.submitted) == len(RUNS)


def test_in_one_look_submitting_and_collecting_take_turns(world: World) -> None:
    """Two runs end at once, and many need one of them: neither the other nor these wait long."""
    submitted = list[int]()
    world.backend.on_collect = lambda: submitted.append(len(world.backend.submitted))
    needy = [{"name": f"run-{number}", "needs": ["a"]} for number in range(60)]
    assert world.start({"name": "a"}, {"name": "b"}, *needy)
    world.run_to_end()

    assert submitted[:2] == [2, 2 + SLICE]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Permanent("Unknown compute target 'x'."), FailureKind.INVALID),
        (UnusableEnvironment("There is no file r.txt."), FailureKind.ENVIRONMENT),
    ],
)
def test_one_that_is_refused_fails_alone(
    world: World, refusal: Permanent, kind: FailureKind
) -> None:
    world.backend.at_once = 3
    world.backend.faults["submit"] = [refusal]
    key = world.start(*RUNS)
    assert key
    world.run_to_end()

    failed = [run for run in world.build(key).runs if run.status is not RunStatus.SUCCEEDED]
    assert [(run.failure.kind, run.failure.message) for run in failed if run.failure] == [
        (kind, str(refusal))
    ]
