"""How a build's runs change. Pure: a build in, a build out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from mlgate.orchestration.backends import claims
from mlgate.orchestration.builds import Build, Phase, RunState
from mlgate.orchestration.runs import (
    Attempt,
    Failure,
    FailureKind,
    Observation,
    Outcome,
    RunStatus,
)

RETRY_DELAY = timedelta(seconds=5)  # doubled with every attempt


def absorb(build: Build, seen: Mapping[Attempt, Observation], now: datetime) -> Build:
    """The build with what its backend sees of the active attempts, and the deadline checked."""
    if seen:
        build = replace(build, runs=tuple(_seen(run, build, seen) for run in build.runs))
    if build.phase is Phase.WATCHING:
        over = all(run.over for run in build.runs)
        build = replace(build, ended_at=(build.ended_at or now) if over else None)
    return _check_ending(build, now)


def finish(build: Build, name: str, outcome: Outcome, now: datetime) -> Build:
    """The build after the run's ended attempt was collected: over, or to be tried again."""
    run = build.run(name)
    gated = {each.metric for each in build.gate.metrics if each.run == name}
    outcome = claims.within(outcome, claims.share(len(build.runs)), gated)
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
        note = failure.note(run.attempt)
        return replace(build, hindered=0.0, ended_at=None).with_run(
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
                evidence=outcome.evidence,
                troubles=(),
                warnings=(*run.warnings, *outcome.warnings, *lost),
                studio_url=outcome.studio_url or run.studio_url,
            )
        )
    )


def refuse(build: Build, name: str, failure: Failure, now: datetime) -> Build:
    """The build after a run was refused for good, or its results can never be collected."""
    refused = replace(
        build.run(name),
        status=RunStatus.FAILED,
        ended=False,
        failure=failure,
        finished_at=now,
        activity=None,
        troubles=(),
    )
    return skip_hopeless(build.with_run(refused))


def postpone(build: Build, name: str, until: datetime) -> Build:
    """The build after the backend could not take a run yet."""
    return build.with_run(replace(build.run(name), not_before=until))


def postpone_all(build: Build, until: datetime) -> Build:
    """The build after the backend asked for nothing to be submitted for a while."""
    runs = tuple(
        replace(run, not_before=until)
        if run.unsubmitted and (run.not_before is None or run.not_before < until)
        else run
        for run in build.runs
    )
    return replace(build, runs=runs)


def abandon(build: Build, why: str) -> Build:
    """The build with every unfinished run given up: its backend cannot be asked any more."""
    failure = Failure(FailureKind.INFRASTRUCTURE, why)
    runs = tuple(
        run
        if run.status.ended
        else replace(run, status=RunStatus.FAILED, ended=False, failure=failure, activity=None)
        for run in build.runs
    )
    return replace(build, runs=runs)


def count_as_canceled(build: Build) -> Build:
    """The build with every run canceled that was asked to end and never seen to."""
    note = "It was canceled, but its end was not confirmed."
    runs = tuple(
        run
        if run.status.ended
        else replace(
            run,
            status=RunStatus.CANCELED,
            ended=False,
            activity=None,
            warnings=(*run.warnings, note),
        )
        for run in build.runs
    )
    return replace(build, runs=runs)


def skip_hopeless(build: Build) -> Build:
    """The build with every queued run skipped whose needs can no longer all pass."""
    runs = {run.spec.name: run for run in build.runs}
    hopeless = {name for name, run in runs.items() if run.status.ended and not _passed(run)}
    if not hopeless:
        return build
    changed = True
    while changed:
        changed = False
        for name, run in runs.items():
            if run.unsubmitted and not hopeless.isdisjoint(run.spec.needs):
                runs[name] = replace(run, status=RunStatus.SKIPPED)
                hopeless.add(name)
                changed = True
    return replace(build, runs=tuple(runs.values()))


def _passed(run: RunState) -> bool:
    return run.status is RunStatus.SUCCEEDED


def cancel_unsubmitted(build: Build) -> Build:
    """The build with every run that was never handed to the backend canceled."""
    runs = tuple(
        replace(run, status=RunStatus.CANCELED) if run.unsubmitted else run for run in build.runs
    )
    return replace(build, runs=runs)


def _check_ending(build: Build, now: datetime) -> Build:
    over = build.cancel_requested is not None or build.pipeline_ended or now >= build.deadline
    if over and build.ending_since is None:
        return replace(build, ending_since=now)
    return build


def _seen(run: RunState, build: Build, seen: Mapping[Attempt, Observation]) -> RunState:
    observation = seen.get(build.attempt_of(run)) if run.active else None
    return run if observation is None else _observed(run, observation)


def _observed(run: RunState, seen: Observation) -> RunState:
    ended = seen.status.ended
    return replace(
        run,
        # The final status comes with the outcome, once that is collected.
        status=run.status if ended else seen.status,
        ended=ended,
        started_at=run.started_at or seen.started_at,
        cells=seen.cells or run.cells,
        cells_total=seen.cells_total if seen.cells_total is not None else run.cells_total,
        activity=None if ended else seen.activity,
        studio_url=seen.studio_url or run.studio_url,
    )


def with_percent(build: Build) -> Build:
    """The build with how far it is, 0 to 100: never less than before, 100 only at the end."""
    if build.phase in (Phase.COMPLETING, Phase.COMPLETED):
        return replace(build, percent=100)
    if build.phase is Phase.PROMOTING:
        return replace(build, percent=99)
    if not build.runs:
        return build
    done = sum(_fraction(run) for run in build.runs) / len(build.runs)
    return replace(build, percent=max(build.percent, min(99, int(done * 100))))


def _fraction(run: RunState) -> float:
    if run.status.ended:
        return 1.0
    if run.cells_total:
        return min(1.0, len(run.cells) / run.cells_total)
    return 0.0
