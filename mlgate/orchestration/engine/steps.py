"""What to do next with a build. Pure: a build in, a step out.

A turn looks at a build as follows: it gathers facts, lets `progress.absorb` apply them, and then
does what `next_step` says, saving after each step, until that is `Watch` or `Stop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mlgate.orchestration.builds import Build, Phase, RunState
from mlgate.orchestration.engine import pace
from mlgate.orchestration.promotions import Verification
from mlgate.orchestration.runs import RunStatus

SLICE = 25  # runs submitted before the state is saved
LONGEST_POSTPONEMENT = timedelta(minutes=10)  # a time further ahead was written by a wrong clock


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
class Judge:
    """Every run has ended: record the verdict, and that the pipeline's step is to be completed."""


class Promoting(StrEnum):
    """The steps of a promotion."""

    WEIGH = "weigh"  # compare what is offered with the current version
    COPY = "copy"  # have the store keep the version that was decided on
    COMMIT = "commit"  # append the entry that makes it current
    LEAVE = "leave"  # it was asked to end: what was committed stays
    UNDO = "undo"  # append the entry that makes the version before current again
    CLOSE = "close"  # the server was waited for long enough


@dataclass(frozen=True, slots=True)
class Promote:
    what: Promoting


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the server of the model which version answers."""


@dataclass(frozen=True, slots=True)
class Register:
    """List the version that was entered among the models of the backend."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write the next of the build's files."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Send the pipeline the build's results: tests, summary, files."""


@dataclass(frozen=True, slots=True)
class Post:
    """Complete the pipeline's step, then forget the token."""


@dataclass(frozen=True, slots=True)
class Watch:
    until: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is left to do."""


Step = (
    Prepare
    | Submit
    | Collect
    | Cancel
    | Judge
    | Promote
    | Verify
    | Register
    | Write
    | Publish
    | Post
    | Watch
    | Stop
)


def next_step(
    build: Build,
    now: datetime,
    exhausted: frozenset[type[Step]] = frozenset(),
    left: frozenset[str] = frozenset(),
    after: type[Step] | None = None,
) -> Step:
    """What to do next; `exhausted`: kinds of steps that this look is done with.

    `Submit` is exhausted once the backend has no free place, `Cancel` and `Verify` once it was
    asked, `Write` once nothing is left to write. `left`: names of runs that this look could not
    collect. A build is not judged before all runs that ended were collected; those in `left` come
    after all else, since they may take long to fail again. `after`: the kind of the step before. A
    place that became free is filled before what was in it is collected, which may take long, and
    then the two take turns.
    """
    if build.phase is Phase.COMPLETED:
        return Stop()
    if build.phase is Phase.COMPLETING:
        told = build.published or build.completion_posted
        if not told and build.promotion is not None and build.promotion.unregistered:
            return Register()  # which takes a minute at most
        last = told or pace.must_be_told(build, now)
        if Write not in exhausted and not last:
            return Write()
        return Post() if last or build.pipeline is None else Publish()
    if build.phase is Phase.PROMOTING:
        return _promote(build, now, exhausted)
    if build.ending_since is not None:
        return _end(build, build.ending_since, now, exhausted, left)
    if build.phase is Phase.RECEIVED:
        return Prepare()
    uncollected = [run for run in _uncollected(build) if run.spec.name not in left]
    new = tuple(run.spec.name for run in uncollected if not run.troubles)
    ready = () if Submit in exhausted else _ready(build, now)
    if ready and not (new and after is Submit):
        return Submit(ready[:SLICE])
    if new:
        return Collect(new[:SLICE])
    if all(run.status.ended for run in build.runs):
        return Judge()
    if names := [run.spec.name for run in uncollected if _due(run, now)]:
        return Collect(tuple(names[:SLICE]))
    return Watch(pace.next_look(build, now))


def _promote(build: Build, now: datetime, exhausted: frozenset[type[Step]]) -> Step:
    promotion = build.promotion
    if promotion is not None and promotion.verification is not None:
        return _verify(build, promotion.verification, now, exhausted)
    if build.ending_since is not None:
        return Promote(Promoting.LEAVE)
    if promotion is None or promotion.entry is None:
        return Promote(Promoting.WEIGH)
    return Promote(Promoting.COMMIT if promotion.copied else Promoting.COPY)


def _verify(
    build: Build, verification: Verification, now: datetime, exhausted: frozenset[type[Step]]
) -> Step:
    ending = build.ending_since is not None
    if verification.undone is not None:
        if ending or verification.waited >= pace.SERVED_AGAIN.total_seconds():
            return Promote(Promoting.CLOSE)
    elif (
        ending
        or verification.failed is not None
        or verification.waited >= verification.request.timeout_minutes * 60
    ):
        return Promote(Promoting.UNDO)
    return Watch(now + pace.fastest(build)) if Verify in exhausted else Verify()


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
    in_time = now < since + pace.ENDING_GRACE
    names = [run.spec.name for run in uncollected if run.spec.name not in left]
    if in_time and names:
        return Collect(tuple(names[:SLICE]))
    if uncollected and Cancel not in exhausted:
        return Cancel()  # a job presumed gone may still be running
    if (uncollected or unfinished) and in_time:
        return Watch(now + pace.fastest(build))
    return Judge()


def _uncollected(build: Build) -> list[RunState]:
    """Those that were tried least come first."""
    found = (run for run in build.runs if run.ended and not run.status.ended)
    return sorted(found, key=lambda run: sum(trouble.times for trouble in run.troubles))


def _ready(build: Build, now: datetime) -> tuple[str, ...]:
    passed = {run.spec.name for run in build.runs if run.status is RunStatus.SUCCEEDED}
    return tuple(
        run.spec.name
        for run in build.runs
        if run.unsubmitted and passed.issuperset(run.spec.needs) and _due(run, now)
    )


def _due(run: RunState, now: datetime) -> bool:
    return run.not_before is None or not now < run.not_before <= now + LONGEST_POSTPONEMENT
