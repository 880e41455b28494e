"""Attempts handed to a backend, collected when they have ended, and canceled.

An error about one run affects that run only. What kept all of them from being submitted is returned
as the obstacle, with the rest of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from mlgate.orchestration.builds import Build, TroubleKind
from mlgate.orchestration.engine import progress, trouble
from mlgate.orchestration.engine.steps import LONGEST_POSTPONEMENT
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.errors import (
    Permanent,
    Temporary,
    Throttled,
    UnfitHost,
    UnusableEnvironment,
)
from mlgate.orchestration.ports import READ_LIMIT, BackendPort, BuildFiles, Ports
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, Task

T = TypeVar("T")

NOT_KEPT = "Its files could not be kept"


@dataclass(frozen=True, slots=True)
class Submitted:
    """The build after some of its runs were handed over.

    `full`: the backend takes no more now. `obstacle`: what kept all of them out.
    """

    build: Build
    full: bool = False
    obstacle: Exception | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """One ended run that was to be collected: what that changes, and whether it is still left."""

    name: str
    change: Callable[[Build], Build]
    left: bool = False


def submit(ports: Ports, build: Build, names: Sequence[str]) -> Submitted:
    """Hand runs to the backend.

    A run that the backend refuses for good fails, not the build. If the backend does not answer for
    some runs, the others are still submitted. A run that it did not accept is not submitted again
    before the delay it gave, and while it throttles, no run is.
    """
    before, kept_out, throttled = build, dict[str, Exception](), list[Throttled]()
    obstacles, full = list[Exception](), False
    backend, now = ports.backend(build), ports.clock.now()
    tasks = [build.task_of(build.run(name)) for name in names]

    def hand_over(task: Task) -> bool | Exception:
        if throttled:
            return throttled[0]
        try:
            return backend.submit(task)
        except Throttled as error:
            throttled.append(error)
            return error
        except Exception as error:  # noqa: BLE001 -- sorted below, run by run
            return error

    with _side_by_side(backend, hand_over, tasks) as answers:
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Permanent) and not isinstance(answer, UnfitHost):
                unusable = isinstance(answer, UnusableEnvironment)
                kind = FailureKind.ENVIRONMENT if unusable else FailureKind.INVALID
                build = progress.refuse(build, name, Failure(kind, str(answer)), now)
            elif isinstance(answer, Exception):
                kept_out[name] = answer
            elif answer:
                run = replace(build.run(name), submitted=True, submitted_at=now, troubles=())
                build = build.with_run(run)
            else:
                full = True
                if backend.at_once == 1:
                    break  # the rest need not be asked for
    if not kept_out:
        return Submitted(build, full=full)
    unchanged = build == before
    # A host that submitted one run is fit: a run that it may not submit has trouble of its own.
    fit = any(run.submitted for run in build.runs)
    for name, error in kept_out.items():
        if isinstance(error, Temporary):
            obstacles.append(error)
            build = progress.postpone(build, name, ports.clock.now() + _pause(error))
        elif fit or not unchanged:
            build = _met(build, name, Doing.SUBMIT, error, now)
        else:
            obstacles.append(error)
    # Trouble that does not pass by itself comes first: it is tolerated for minutes only.
    longest = max(obstacles, key=_gravity, default=None)
    if throttled and longest is not None:
        build = progress.postpone_all(build, ports.clock.now() + _pause(longest))
    return Submitted(build, full=True, obstacle=longest if unchanged else None)


def collect(
    ports: Ports,
    build: Build,
    names: Sequence[str],
    outcome_alone: Collection[str] = (),
    why: str = "",
) -> Iterator[Collected]:
    """Collect ended attempts, as many at once as the backend takes, and yield one after the other,
    so that each can be saved.

    If an attempt's results can never be collected, that run fails, not the build. If its files
    cannot be kept, for too long or for good, its outcome counts without them; so it does for runs
    in `outcome_alone`, for the reason `why`.
    """
    backend = ports.backend(build)
    tasks = [build.task_of(build.run(name)) for name in names]

    def take(task: Task) -> Collected:
        name = task.spec.name
        kept, began = _Watched(ports.files), ports.clock.now()
        try:
            if name in outcome_alone:
                return _finished(ports, name, _without_files(backend.collect(task, None), why))
            return _finished(ports, name, backend.collect(task, kept), kept=True)
        except Exception as error:  # noqa: BLE001 -- sorted here, run by run
            step = Doing.KEEP if kept.failed is error else Doing.COLLECT
            # Those collected side by side took as long: together they count as one.
            took = (ports.clock.now() - began).total_seconds() / len(tasks)
            return _uncollected(ports, backend, build, task, step, error, max(0.0, took))

    with _side_by_side(backend, take, tasks) as found:
        yield from found


def _finished(
    ports: Ports, name: str, outcome: Outcome, *, kept: bool = False, cost: float = 0.0
) -> Collected:
    """`cost`: seconds that went into trying to keep its files, in vain."""

    def finish(build: Build) -> Build:
        if kept:
            build = replace(build, troubles=trouble.forget(build.troubles, Doing.KEEP))
        build = trouble.hinder(build, cost)
        return progress.finish(build, name, outcome, ports.clock.now())

    return Collected(name, finish)


def _uncollected(
    ports: Ports,
    backend: BackendPort,
    build: Build,
    task: Task,
    step: Doing,
    error: Exception,
    took: float,
) -> Collected:
    """Try again later, or give up the run's results, or its files alone.

    Files that cannot be kept are the build's trouble: with many runs, each must not wait for it
    again.
    """
    name, now = task.spec.name, ports.clock.now()
    if step is Doing.KEEP:
        later = _kept_later(name, error, now, took)
        if not trouble.meet(build.troubles, step, error, now, took).spent:
            return Collected(name, later, left=True)
        try:
            outcome = _without_files(backend.collect(task, None), trouble.sentence(error))
            if trouble.kind_of(error) is TroubleKind.PERMANENT:  # that run's own
                return _finished(ports, name, outcome, cost=took)
            finished = _finished(ports, name, outcome)
            return Collected(name, lambda build: finished.change(later(build)))
        except Exception as another:  # noqa: BLE001 -- the run fails with it
            error = another
    met = trouble.meet(build.run(name).troubles, step, error, now, took)
    if met.spent:
        why = f"Its results could not be collected: {trouble.sentence(error)}"
        failure = Failure(FailureKind.INFRASTRUCTURE, why)
        return Collected(name, lambda build: progress.refuse(build, name, failure, now))

    def put_off(build: Build) -> Build:
        run = replace(build.run(name), troubles=met.troubles, not_before=now + met.pause)
        return build.with_run(run)

    return Collected(name, put_off, left=True)


def _kept_later(
    name: str, error: Exception, now: datetime, took: float
) -> Callable[[Build], Build]:
    def change(build: Build) -> Build:
        met = trouble.meet(build.troubles, Doing.KEEP, error, now, took)
        run = replace(build.run(name), not_before=now + met.pause)
        return trouble.hinder(replace(build, troubles=met.troubles), met.cost).with_run(run)

    return change


def _without_files(outcome: Outcome, why: str) -> Outcome:
    warning = f"{NOT_KEPT}: {why}" if why else f"{NOT_KEPT}."
    return replace(outcome, outputs=(), evidence=(), warnings=(*outcome.warnings, warning))


def cancel(ports: Ports, build: Build) -> Build:
    """Cancel all runs that were not collected; those that were never submitted are canceled here.

    The backend is asked to cancel those too: a handler may have died after a submission, before it
    saved it. Likewise those that were seen to end: a job presumed gone may still be running.
    """
    unfinished = [build.attempt_of(run) for run in build.runs if not run.status.ended]
    if unfinished:
        ports.backend(build).cancel(unfinished)
    return progress.skip_hopeless(progress.cancel_unsubmitted(build))


def _met(build: Build, name: str, step: Doing, error: Exception, now: datetime) -> Build:
    """The build after trouble with one run, which fails once that has lasted too long."""
    run = build.run(name)
    met = trouble.meet(run.troubles, step, error, now)
    if met.spent:
        failure = Failure(FailureKind.INFRASTRUCTURE, trouble.sentence(error))
        return progress.refuse(build, name, failure, now)
    return build.with_run(replace(run, troubles=met.troubles, not_before=now + met.pause))


def _gravity(error: Exception) -> tuple[bool, timedelta]:
    return trouble.kind_of(error) is not TroubleKind.TEMPORARY, _pause(error)


def _pause(error: Exception) -> timedelta:
    """The least time to wait."""
    asked = timedelta(seconds=error.delay if isinstance(error, Temporary) else 0.0)
    return min(asked, LONGEST_POSTPONEMENT)


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


class _Watched:
    """The build's files, and the last error they raised, which is not one of the run's backend."""

    def __init__(self, files: BuildFiles) -> None:
        self._files = files
        self.failed: Exception | None = None

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        with self._watched():
            self._files.write(build, path, content)

    def copy(self, build: str, path: str, source: Path) -> None:
        with self._watched():
            self._files.copy(build, path, source)

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        return self._files.read(build, path, most)

    def parts(self, build: str, path: str) -> Iterator[bytes]:
        return self._files.parts(build, path)

    def tail(self, build: str, path: str, most: int) -> bytes:
        return self._files.tail(build, path, most)

    def list(self, build: str, folder: str = "") -> list[str]:
        return self._files.list(build, folder)

    def location(self, build: str) -> str:
        return self._files.location(build)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failed = error
            raise
