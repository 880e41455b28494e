"""A handler that was only slow beside the one that took over its build, and saves that got lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import BoundedSemaphore

import pytest
from pydantic import SecretStr

from handlers.state_handler import SqliteState
from mlgate.orchestration.admission.allowed_models import ModelPolicy
from mlgate.orchestration.builds import Build, Phase, PipelineAddress, Verdict
from mlgate.orchestration.durable import Stored
from mlgate.orchestration.engine.saved import SupersededError
from mlgate.orchestration.engine.turn import Turn
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.telling import Completion
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.conftest import completion_of
from tests.unit.orchestration.engine.twins import PipelineTwin, World


@dataclass
class SlowPipeline(PipelineTwin):
    """Takes its time with a completion: enough for whatever the test has happen meanwhile."""

    meanwhile: Callable[[], object] | None = None

    def complete(
        self,
        address: PipelineAddress,
        token: SecretStr,
        completion: Completion,
        *,
        doubt: bool = False,
    ) -> None:
        if self.meanwhile is not None:
            self.meanwhile()
        super().complete(address, token, completion, doubt=doubt)


def test_of_two_handlers_of_the_same_look_only_one_posts_the_completion(world: World) -> None:
    key = world.start({"name": "a"})
    assert key
    others: list[Turn] = []

    def load() -> None:
        stored = world.state.load(key)
        assert stored is not None
        if stored.build.phase is Phase.COMPLETING:
            others.append(Turn(world.conductor.ports, stored, BoundedSemaphore(1), ModelPolicy()))

    def take_over() -> None:
        with pytest.raises(SupersededError):
            others.pop().take()

    world.pipeline = SlowPipeline(on_asked=load, meanwhile=take_over)
    world.run_to_end()

    assert completion_of(world)[0] is Verdict.SUCCEEDED


class ForgetfulState(SqliteState):
    """Stores what is saved, and once does not answer."""

    def __init__(self, path: Path, world: World, lost: int) -> None:
        super().__init__(path, world.clock)
        self.left = lost

    def save(self, build: Build, version: str) -> Stored | None:
        saved = super().save(build, version)
        self.left -= 1
        if self.left == 0:
            raise Temporary("The state does not answer.")
        return saved


@pytest.mark.parametrize("lost", range(1, 11))
def test_a_build_goes_on_from_a_save_whose_answer_was_lost(
    world: World, tmp_path: Path, lost: int
) -> None:
    state = ForgetfulState(tmp_path / "state.db", world, lost)
    world.state = state
    key = world.start({"name": "a"}, {"name": "b", "needs": ["a"]})
    assert key
    while world.build(key).open:
        if world.queue.messages:
            world.deliver()
        else:
            world.clock.time += timedelta(seconds=15)
            world.conductor.sweep()

    assert state.left < 1
    assert world.clock.time - NOON < timedelta(minutes=2)
    assert completion_of(world)[0] is Verdict.SUCCEEDED
    assert [attempt.run for attempt in world.backend.submitted] == ["a", "b"]


def test_what_is_submitted_while_another_handler_ends_the_build_is_canceled(world: World) -> None:
    key = world.start({"name": "a"})
    assert key

    def end() -> None:
        stored = world.state.load(key)
        assert stored is not None
        ended = replace(stored.build, phase=Phase.COMPLETED)
        assert world.state.save(ended, stored.version) is not None

    world.backend.on_submit = end
    world.deliver()

    assert [attempt.run for attempt in world.backend.submitted] == ["a"]
    assert world.backend.canceled == world.backend.submitted
