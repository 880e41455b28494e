"""A step in which three hosts died: what the build does without it, and what it does all the same.

Not counted here: checkouts, in `test_outages`, and registering, in `test_registering`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.engine.looks import LEASE_SECONDS
from mlgate.orchestration.engine.trouble import DEATHS
from mlgate.orchestration.ports import READ_LIMIT
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, RunStatus
from mlgate.orchestration.telling import Completion
from tests.unit.orchestration.engine.twins import Killed, World

NOTEBOOK = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'


class Deadly:
    """Ends the process each time that it is called, or the first few times."""

    def __init__(self, real: Callable[..., Any], times: int = 1000) -> None:
        self.real, self.left, self.deaths = real, times, 0

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        if not self.left:
            return self.real(*arguments, **more)
        self.left -= 1
        self.deaths += 1
        raise Killed


def run_to_end(world: World) -> None:
    """Deliver until the queue is empty; each message of a host that died comes again."""
    while world.queue.messages:
        survive(world)


def survive(world: World) -> None:
    lost = min(world.queue.messages)
    try:
        world.deliver()
    except Killed:
        world.queue.messages.append(lost)
        world.clock.sleep(LEASE_SECONDS + 1)


def test_a_completion_that_kills_its_hosts_is_posted_as_the_verdict_alone(world: World) -> None:
    post = Deadly(world.pipeline.complete, DEATHS)
    world.pipeline.complete = post  # type: ignore[method-assign]  # one method of a twin, for this test
    world.start({"name": "a"})
    run_to_end(world)

    [(completion, doubt)] = world.pipeline.completions
    assert completion == Completion(Verdict.SUCCEEDED, completion.reason)
    assert (post.deaths, doubt) == (DEATHS, True)
    assert "passed" in completion.reason


def test_a_notebook_that_kills_its_readers_costs_itself_and_no_report(world: World) -> None:
    real, deaths = world.files.read, [0]

    def read(build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        if path.endswith("executed.ipynb"):
            deaths[0] += 1
            raise Killed
        return real(build, path, most)

    world.files.read = read  # type: ignore[method-assign]  # one method, for this test
    notebook = "runs/a/executed.ipynb"
    failure = Failure(FailureKind.CODE, "It broke.", cell=1)
    world.backend.kept = {"a": {"executed.ipynb": NOTEBOOK}}
    world.backend.outcomes["a"] = [Outcome(RunStatus.FAILED, failure=failure, evidence=(notebook,))]
    key = world.start({"name": "a"})
    assert key
    run_to_end(world)

    assert deaths[0] >= DEATHS
    assert world.build(key).warnings == ()
    for name in ("junit.xml", "report.html", "result.json"):
        assert b"It broke." in (real(key, name) or b"")
    [(completion, _)] = world.pipeline.completions
    assert completion.verdict is Verdict.FAILED


def test_a_canceled_build_whose_backend_kills_who_looks_ends_without_a_look(world: World) -> None:
    world.backend.endless = True
    key = world.start({"name": "a"})
    assert key
    world.deliver()
    look = Deadly(world.backend.look)
    world.backend.look = look  # type: ignore[method-assign]  # one method of a twin, for this test
    assert world.conductor.cancel(key, "Enough.")
    run_to_end(world)

    build = world.build(key)
    assert look.deaths == DEATHS
    assert (build.reason, build.infrastructure) == ("Enough.", False)
    assert build.run("a").status is RunStatus.CANCELED
    assert set(world.backend.canceled) == set(world.backend.submitted)


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_turn_after_two_deaths_narrates_nothing_as_that_may_have_killed_them(
    world: World, deaths: int
) -> None:
    world.repository.faults = [Killed()] * deaths
    world.backend.endless = True
    world.start({"name": "a"})
    for _ in range(deaths + 1):
        survive(world)

    lines = [line for progress in world.pipeline.shown for line in progress.lines]
    assert bool(lines) is (deaths < DEATHS - 1)
