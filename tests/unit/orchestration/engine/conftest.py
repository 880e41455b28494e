"""A world of twins for each test, and what its pipeline was told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.orchestration.builds import Verdict
from tests.unit.orchestration.engine.twins import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def completion_of(world: World) -> tuple[Verdict, str]:
    """The only completion that was posted."""
    [(completion, _)] = world.pipeline.completions
    return completion.verdict, completion.reason
