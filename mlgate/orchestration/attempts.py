"""Attempts handed to a backend, taken over when they have ended, and canceled.

What it says of one run is that run's. What kept all of them from being handed or taken over is
returned as the obstacle, beside what else is known now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from mlgate.orchestration import faults, steps
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

Obstacle = Temporary | UnfitHost  # what may be over the next time: a right can be given back


def submit(ports: Ports, build: Build, names: Sequence[str]) -> tuple[Build, bool, Obstacle | None]:
    """Hand runs to the backend; whether it had a place for all of them, and what kept all out.

    A backend that refuses a run for good fails that run, not the build. One that does not answer
    for some has a place for the others. What it did not take is not handed over again before it
    said, and once it throttles, nothing is.
    """
    before, busy, throttled = build, dict[str, Obstacle](), list[Throttled]()
    backend, now = ports.backend(build), ports.clock.now()
    tasks = [build.task_of(build.run(name)) for name in names]

    def hand_over(task: Task) -> bool | Permanent | Obstacle:
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
            if isinstance(answer, Obstacle):
                busy[name] = answer
            elif isinstance(answer, Permanent):
                unusable = isinstance(answer, UnusableEnvironment)
                kind = FailureKind.ENVIRONMENT if unusable else FailureKind.INVALID
                build = steps.refuse(build, name, Failure(kind, str(answer)), now)
            elif answer:
                run = replace(build.run(name), submitted=True, submitted_at=now)
                build = build.with_run(run)
            else:
                return build, False, None
    if not busy:
        return build, True, None
    # A host that the backend took a run from is fit: what it may not submit is that run's trouble.
    fit = any(run.submitted for run in build.runs)
    obstacles = [e for e in busy.values() if not (fit and isinstance(e, UnfitHost))]
    unchanged = build == before
    for name, error in busy.items():
        if fit and isinstance(error, UnfitHost):
            build = _refused(build, name, error, now)
        else:
            build = steps.postpone(build, name, _after(ports, error))
    longest = max(obstacles, key=delay, default=None)
    if throttled and longest is not None:
        build = steps.postpone_all(build, _after(ports, longest))
    return build, False, longest if unchanged else None


def _refused(build: Build, name: str, error: UnfitHost, now: datetime) -> Build:
    """The build after its host may not submit one run, which is tried as often as a look is."""
    run = build.run(name)
    times = run.refusals + 1
    if times >= faults.MOST_UNFIT_ERRORS:
        return steps.refuse(build, name, Failure(FailureKind.INFRASTRUCTURE, str(error)), now)
    wait = timedelta(seconds=2.0**times)
    return build.with_run(replace(run, refusals=times, not_before=now + wait))


def _after(ports: Ports, error: Obstacle) -> datetime:
    return ports.clock.now() + timedelta(seconds=delay(error))


def delay(error: Obstacle) -> float:
    """The least seconds to wait."""
    return error.delay if isinstance(error, Temporary) else 0.0


def collect(ports: Ports, build: Build, names: Sequence[str]) -> tuple[Build, dict[str, Obstacle]]:
    """Take over ended attempts; and what kept some from being taken over, by their runs.

    What an attempt left and cannot be had for good fails that run, not the build.
    """
    left = dict[str, Obstacle]()
    backend = ports.backend(build)
    tasks = [build.task_of(build.run(name)) for name in names]

    def take_over(task: Task) -> Outcome | Obstacle:
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
                left[name] = answer
    return build, left


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
    """Ask for the end of all that was not taken over; what was never submitted is canceled here.

    The backend is asked for those, too: a handler may have died after a submission and before it
    was saved. And for what was seen to end: a job that was taken for gone may go on.
    """
    unfinished = [build.attempt_of(run) for run in build.runs if not run.status.ended]
    if unfinished:
        ports.backend(build).cancel(unfinished)
    return steps.skip_hopeless(steps.cancel_unsubmitted(build))
