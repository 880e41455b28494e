"""A backend that does not answer for some of the runs it is handed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.orchestration.errors import Temporary
from tests.unit.orchestration.twins import World


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
    world.deliver()
    assert (world.clock.time - began).total_seconds() >= 300
    assert len(world.backend.submitted) == 2
