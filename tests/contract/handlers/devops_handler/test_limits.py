"""How long one call may take: a Function has five minutes for all that one look does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest

from handlers.devops_handler import DevOpsHandler
from mlgate.emulators.azure_devops import AzureDevOps, Fault, Faults
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.telling import Completion, Progress, Results
from tests.contract.handlers.devops_handler.support import Scene, SteppedClock

FAILED = Completion(Verdict.FAILED, "1 of 2 runs passed")
RUNNING = Results("b", "1", "mlgate")


class Slow(Faults):
    """Every answer takes its time."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__()
        self.seconds = 0.0
        self._clock = clock

    def take(self, call: str) -> Fault | None:
        self._clock.step(self.seconds)
        return super().take(call)


@pytest.fixture
def faults(clock: SteppedClock) -> Slow:
    return Slow(clock)


@pytest.fixture
def slow(clock: SteppedClock, faults: Slow) -> Iterator[Scene]:
    with AzureDevOps(clock=clock.now, faults=faults) as server:
        handler = DevOpsHandler(allowed=[server.collection_url], clock=clock)
        yield Scene(server, clock, server.new_task(), handler)
        assert server.violations == []


@pytest.mark.parametrize("fault", [Fault.answering(503), Fault.slow_down("30")])
def test_completing_ends_in_time_whatever_the_service_takes(
    fault: Fault, slow: Scene, faults: Slow
) -> None:
    """29 seconds for each answer, and half a minute besides: the next call goes on."""
    slow.show(Progress(10, "0/2 runs", ("one", "two")))
    slow.show(Progress(20, "0/2 runs", ("three",), first_line=3))
    faults.seconds = 29
    faults.add("*", fault, times=50)
    for _ in range(2):
        began = slow.clock.now()
        with suppress(Temporary):
            slow.complete(FAILED, doubt=True)
        assert slow.clock.now() - began < timedelta(seconds=140)


def test_a_slow_service_is_told_the_verdict_all_the_same(slow: Scene, faults: Slow) -> None:
    faults.seconds = 25
    slow.complete(FAILED)
    assert slow.task.completions == ["failed"]


def test_a_test_run_is_not_looked_for_longer_than_a_look_may_take(
    slow: Scene, faults: Slow
) -> None:
    slow.task.add_test_runs(f"run {number}" for number in range(4000))
    faults.seconds = 8
    began = slow.clock.now()
    with pytest.raises(Temporary, match="too long"):
        slow.publish(RUNNING)
    assert slow.clock.now() - began < timedelta(seconds=40)
