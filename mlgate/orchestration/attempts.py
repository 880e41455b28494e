"""Attempts handed to a backend, taken over when they have ended, and canceled.

They raise what the backend raises for all of them; what it says of one run is that run's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from mlgate.orchestration import steps
from mlgate.orchestration.acts import Ports
from mlgate.orchestration.builds import Build
from mlgate.orchestration.errors import (
    Permanent,
    Temporary,
    Throttled,
    UnfitHost,
    UnusableEnvironment,
)
from mlgate.orchestration.ports import BackendPort
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, RunStatus, Task

T = TypeVar("T")


def submit(ports: Ports, build: Build, names: Sequence[str]) -> tuple[Build, bool]:
    """Hand runs to the backend, and whether it had a place for all of them.

    A backend that refuses a run for good fails that run, not the build. One that does not answer
    for some has a place for the others, which are remembered; it raises when there are none. What
    it did not take is not handed over again before it said, and once it throttles, nothing is.
    """
    before, busy, throttled = build, dict[str, Temporary](), list[Throttled]()
    backend, now = ports.backend(build), ports.clock.now()
    tasks = [build.task_of(build.run(name)) for name in names]

    def hand_over(task: Task) -> bool | Permanent | Temporary:
        if throttled:
            return throttled[0]
        try:
            return backend.submit(task)
        except Throttled as error:
            throttled.append(error)
            return error
        except (Permanent, Temporary) as error:
            return error

    with _side_by_side(backend, hand_over, tasks) as answers:
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Permanent):
                failure = Failure(_kind_of_refusal(answer), str(answer))
                build = steps.refuse(build, name, failure, now)
            elif isinstance(answer, Temporary):
                busy[name] = answer
            elif answer:
                run = replace(build.run(name), submitted=True, submitted_at=now)
                build = build.with_run(run)
            else:
                return build, False
    if not busy:
        return build, True
    longest = max(busy.values(), key=lambda error: error.delay)
    if build == before:
        raise longest
    for name, error in busy.items():
        build = steps.postpone(build, name, _after(ports, error))
    if throttled:
        build = steps.postpone_all(build, _after(ports, longest))
    return build, False


def _after(ports: Ports, error: Temporary) -> datetime:
    return ports.clock.now() + timedelta(seconds=error.delay)


def _kind_of_refusal(error: Permanent) -> FailureKind:
    match error:
        case UnusableEnvironment():
            return FailureKind.ENVIRONMENT
        case UnfitHost():
            return FailureKind.INFRASTRUCTURE
        case _:
            return FailureKind.INVALID


def collect(ports: Ports, build: Build, names: Sequence[str]) -> Build:
    """Take over ended attempts; raises what kept all of them from being taken over.

    What an attempt left and cannot be had for good fails that run, not the build.
    """
    before, problem = build, None
    backend = ports.backend(build)
    tasks = [build.task_of(build.run(name)) for name in names]

    def take_over(task: Task) -> Outcome | Temporary | UnfitHost:
        try:
            return backend.collect(task, ports.files)
        except (Temporary, UnfitHost) as error:
            return error
        except Permanent as error:
            failure = Failure(FailureKind.INFRASTRUCTURE, f"What it left cannot be had: {error}")
            return Outcome(RunStatus.FAILED, failure=failure)

    with _side_by_side(backend, take_over, tasks) as answers:
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Outcome):
                build = steps.finish(build, name, answer, ports.clock.now())
            else:
                problem = answer
    if problem is not None and build == before:
        raise problem
    return build


@contextmanager
def _side_by_side(
    backend: BackendPort, act: Callable[[Task], T], tasks: Sequence[Task]
) -> Iterator[Iterator[T]]:
    """What `act` returns for each task, in their order; as many at once as the backend takes."""
    if backend.at_once == 1:
        yield map(act, tasks)
        return
    with ThreadPoolExecutor(backend.at_once) as pool:
        yield pool.map(act, tasks)


def cancel(ports: Ports, build: Build) -> Build:
    """Ask for the end of all that has not ended; what was never submitted is canceled here.

    The backend is asked for those, too: a handler may have died after a submission and before it
    was saved.
    """
    unfinished = [
        build.attempt_of(run) for run in build.runs if not (run.ended or run.status.ended)
    ]
    if unfinished:
        ports.backend(build).cancel(unfinished)
    return steps.skip_hopeless(steps.cancel_unsubmitted(build))
