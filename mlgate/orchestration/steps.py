"""What to do next with a build. Pure: facts in, a new build or a step out.

The conductor looks at a build as follows: it gathers facts, lets `absorb` take them in, and then
does what `next_step` says, saving after each step, until that is `Watch` or `Stop`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlgate.orchestration import pace
from mlgate.orchestration.builds import Build, Phase, RunState
from mlgate.orchestration.runs import (
    Attempt,
    Failure,
    FailureKind,
    Observation,
    Outcome,
    RunStatus,
)

SLICE = 25  # runs submitted or collected before the state is saved
ENDING_GRACE = timedelta(minutes=5)  # for canceled attempts to be seen as ended
RETRY_DELAY = timedelta(seconds=5)  # doubled with every attempt


@dataclass(frozen=True, slots=True)
class Prepare:
    """Check out the commit, stage it, expand the runs."""


@dataclass(frozen=True, slots=True)
class Submit:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collect:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """End what is active; what was not submitted is canceled without the backend."""


@dataclass(frozen=True, slots=True)
class Decide:
    """Every run has ended: judge, write the build's files, record the completion as intended."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Give the pipeline what it keeps of the build: tests, summary, files."""


@dataclass(frozen=True, slots=True)
class Post:
    """Tell the pipeline, then forget the token."""


@dataclass(frozen=True, slots=True)
class Watch:
    until: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is left to do."""


Step = Prepare | Submit | Collect | Cancel | Decide | Publish | Post | Watch | Stop


def absorb(build: Build, seen: Mapping[Attempt, Observation], now: datetime) -> Build:
    """The build with what its backend sees of the active attempts, and the deadline checked."""
    for run in build.runs:
        observation = seen.get(build.attempt_of(run)) if run.active else None
        if observation is not None:
            build = build.with_run(_observed(run, observation))
    return _check_ending(build, now)


def finish(build: Build, name: str, outcome: Outcome, now: datetime) -> Build:
    """The build after the run's ended attempt was collected: over, or to be tried again."""
    run = build.run(name)
    failure = outcome.failure
    metrics = {key: value for key, value in outcome.metrics.items() if math.isfinite(value)}
    lost = [f"The metric {key} is not a number." for key in outcome.metrics if key not in metrics]
    again = (
        outcome.status is RunStatus.FAILED
        and failure is not None
        and failure.kind.transient
        and run.attempt <= run.spec.retries
        and build.ending_since is None
    )
    if again and failure is not None:
        note = f"Attempt {run.attempt} failed ({failure.kind}): {failure.message}"
        return build.with_run(
            RunState(
                spec=run.spec,
                attempt=run.attempt + 1,
                not_before=now + RETRY_DELAY * 2 ** (run.attempt - 1),
                warnings=(*run.warnings, note),
            )
        )
    return skip_hopeless(
        build.with_run(
            replace(
                run,
                status=outcome.status,
                ended=True,
                activity=None,
                started_at=outcome.started_at or run.started_at,
                finished_at=outcome.finished_at or now,
                failure=failure,
                metrics=metrics,
                outputs=outcome.outputs,
                warnings=(*run.warnings, *outcome.warnings, *lost),
                studio_url=outcome.studio_url or run.studio_url,
            )
        )
    )


def refuse(build: Build, name: str, failure: Failure, now: datetime) -> Build:
    """The build after the backend refused a run for good."""
    refused = replace(build.run(name), status=RunStatus.FAILED, failure=failure, finished_at=now)
    return skip_hopeless(build.with_run(refused))


def postpone(build: Build, name: str, until: datetime) -> Build:
    """The build after the backend could not take a run yet."""
    return build.with_run(replace(build.run(name), not_before=until))


def postpone_all(build: Build, until: datetime) -> Build:
    """The build after the backend asked for nothing to be submitted for a while."""
    for run in build.runs:
        if run.unsubmitted and (run.not_before is None or run.not_before < until):
            build = postpone(build, run.spec.name, until)
    return build


def abandon(build: Build, why: str) -> Build:
    """The build with every unfinished run given up: its backend cannot be asked any more."""
    for run in build.runs:
        if not run.status.ended:
            failure = Failure(FailureKind.INFRASTRUCTURE, why)
            build = build.with_run(replace(run, status=RunStatus.FAILED, failure=failure))
    return build


def settle(build: Build) -> Build:
    """The build with every run that was canceled and never seen to end taken for canceled."""
    for run in build.runs:
        if not run.status.ended:
            note = "It was canceled, and was not seen to end."
            build = build.with_run(
                replace(run, status=RunStatus.CANCELED, warnings=(*run.warnings, note))
            )
    return build


def skip_hopeless(build: Build) -> Build:
    """The build with every queued run skipped whose needs can no longer all pass."""
    status = {run.spec.name: run.status for run in build.runs}
    changed = True
    while changed:
        changed = False
        for run in build.runs:
            name = run.spec.name
            lost = any(
                status[need].ended and status[need] is not RunStatus.SUCCEEDED
                for need in run.spec.needs
            )
            if status[name] is RunStatus.QUEUED and not run.submitted and lost:
                status[name] = RunStatus.SKIPPED
                build = build.with_run(replace(run, status=RunStatus.SKIPPED))
                changed = True
    return build


def cancel_unsubmitted(build: Build) -> Build:
    """The build with every run that was never handed to the backend canceled."""
    for run in build.runs:
        if run.unsubmitted:
            build = build.with_run(replace(run, status=RunStatus.CANCELED))
    return build


def next_step(
    build: Build,
    now: datetime,
    exhausted: frozenset[type[Step]] = frozenset(),
    left: frozenset[str] = frozenset(),
) -> Step:
    """What to do next; `exhausted`: kinds of steps that this look has no more use for.

    `Submit` is exhausted once the backend has no free place, `Cancel` once it was asked. `left`:
    names of runs that this look could not take over. A build is not judged before all that ended
    was taken over.
    """
    if build.phase is Phase.COMPLETED:
        return Stop()
    if build.phase is Phase.COMPLETING:
        told = build.published or build.pipeline is None or build.completion_posted
        return Post() if told else Publish()
    if build.ending_since is not None:
        return _end(build, build.ending_since, now, exhausted, left)
    if build.phase is Phase.RECEIVED:
        return Prepare()
    if names := [name for name in _uncollected(build) if name not in left]:
        return Collect(tuple(names[:SLICE]))
    if all(run.status.ended for run in build.runs):
        return Decide()
    if Submit not in exhausted and (ready := _ready(build, now)):
        return Submit(ready[:SLICE])
    return Watch(pace.next_look(build, now))


def percent(build: Build) -> int:
    """How far the build is, 0 to 100, never less than shown before, 100 only at the end."""
    if build.phase in (Phase.COMPLETING, Phase.COMPLETED):
        return 100
    if not build.runs:
        return build.percent
    done = sum(_fraction(run) for run in build.runs) / len(build.runs)
    return max(build.percent, min(99, int(done * 100)))


def _check_ending(build: Build, now: datetime) -> Build:
    over = build.cancel_requested is not None or build.pipeline_ended or now >= build.deadline
    if over and build.ending_since is None:
        return replace(build, ending_since=now)
    return build


def _observed(run: RunState, seen: Observation) -> RunState:
    ended = seen.status.ended
    return replace(
        run,
        # The final status comes with the outcome, when it is collected.
        status=run.status if ended else seen.status,
        ended=ended,
        started_at=run.started_at or seen.started_at,
        cells=seen.cells or run.cells,
        cells_total=seen.cells_total if seen.cells_total is not None else run.cells_total,
        activity=None if ended else seen.activity,
        studio_url=seen.studio_url or run.studio_url,
    )


def _end(
    build: Build,
    since: datetime,
    now: datetime,
    exhausted: frozenset[type[Step]],
    left: frozenset[str],
) -> Step:
    unfinished = any(run.active or run.unsubmitted for run in build.runs)
    if unfinished and Cancel not in exhausted:
        return Cancel()
    uncollected = _uncollected(build)
    if names := [name for name in uncollected if name not in left]:
        return Collect(tuple(names[:SLICE]))
    if uncollected and Cancel not in exhausted:
        return Cancel()  # what was taken for gone may go on
    if uncollected or (unfinished and now < since + ENDING_GRACE):
        return Watch(now + pace.fastest(build))
    return Decide()


def _uncollected(build: Build) -> tuple[str, ...]:
    return tuple(run.spec.name for run in build.runs if run.ended and not run.status.ended)


def _ready(build: Build, now: datetime) -> tuple[str, ...]:
    passed = {run.spec.name for run in build.runs if run.status is RunStatus.SUCCEEDED}
    return tuple(
        run.spec.name
        for run in build.runs
        if run.unsubmitted
        and passed.issuperset(run.spec.needs)
        and (run.not_before is None or run.not_before <= now)
    )


def _fraction(run: RunState) -> float:
    if run.status.ended:
        return 1.0
    if run.cells_total:
        return min(1.0, len(run.cells) / run.cells_total)
    return 0.0
