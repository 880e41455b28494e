"""What a fault means for the build that it strikes; pure.

A foreseen fault tells by its class whether trying again can help. Of any other, a bug of ours, only
the number of times in a row tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mlgate.orchestration import pace
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.errors import (
    BadMessage,
    Finding,
    OrchestrationError,
    Permanent,
    Temporary,
    UnfitHost,
)
from mlgate.orchestration.steps import ENDING_GRACE

MOST_PREPARE_ERRORS = 7  # then, after some two minutes, a build that cannot even begin fails
MOST_PREPARATIONS = 3  # that the host cut short; one of them may have been an upgrade's fault
MOST_UNKNOWN_ERRORS = 5  # then a build that trips over a bug of ours fails
MOST_UNFIT_ERRORS = 7  # a right that is refused now may be back before hours of work are ended
POSTING_LIMIT = timedelta(hours=24)  # after the deadline, a completion is given up
LONGEST_BACKOFF = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Retry:
    """Look again at that time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Fail:
    """The build has not begun: it fails with that reason."""

    reason: str
    infrastructure: bool
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelRuns:
    """Runs may be under way: they are canceled first, and then the build ends."""

    infrastructure: bool


@dataclass(frozen=True, slots=True)
class Surrender:
    """Judge the build with every unfinished run given up."""


@dataclass(frozen=True, slots=True)
class LeaveUntold:
    """The verdict stands, but the pipeline cannot be told of it."""


Fate = Retry | Fail | CancelRuns | Surrender | LeaveUntold


def never_prepared(times: int) -> UnfitHost:
    """The fault of a build whose checkout was cut short each time."""
    return UnfitHost(
        f"The checkout was begun {times} times, and its host ended it each time before it was "
        "done. It takes longer, or more memory, than the host gives it. Point the message at a "
        "smaller repository, or give the host more; in a function app `functionTimeout` is the "
        "limit."
    )


def sentence(error: Exception) -> str:
    """The fault as the build remembers it."""
    if isinstance(error, OrchestrationError):
        return str(error)
    return f"mlgate met an unexpected error: {error!r}"


def kind_of(error: Exception) -> str:
    """What faults are counted by: one that may be over soon says nothing of one of another kind."""
    match error:
        case UnfitHost():
            return "unfit"
        case OrchestrationError():
            return "foreseen"
        case _:
            return "unknown"


def fate(build: Build, error: Exception, errors: int, now: datetime) -> Fate:
    """What becomes of `build` after the fault that is number `errors` of its kind in a row."""
    final = isinstance(error, Permanent | BadMessage)
    unknown = not isinstance(error, OrchestrationError)
    asked_for = final and not isinstance(error, UnfitHost)
    hopeless = final or (unknown and errors >= MOST_UNKNOWN_ERRORS)
    if build.phase is Phase.COMPLETING:
        # A right that the host lacks here may be back, and it is not the pipeline that refused.
        unfit = isinstance(error, UnfitHost)
        if (hopeless and not unfit) or now > build.deadline + POSTING_LIMIT:
            return LeaveUntold()
    elif build.ending_since is not None:
        if now >= build.ending_since + ENDING_GRACE:
            return Surrender()
    elif build.phase is Phase.RECEIVED:
        what = sentence(error)
        if hopeless:
            findings = error.findings if isinstance(error, BadMessage) else ()
            return Fail(what, not asked_for, findings)
        if errors >= MOST_PREPARE_ERRORS:
            return Fail(f"{what} Tried {errors} times.", not final)
    elif hopeless and (asked_for or unknown or errors >= MOST_UNFIT_ERRORS):
        return CancelRuns(not asked_for)
    delay = error.delay if isinstance(error, Temporary) else 1.0
    backoff = min(LONGEST_BACKOFF, 2.0 ** min(errors, 10))
    at = now + timedelta(seconds=max(delay, backoff))
    if build.phase is Phase.WATCHING:
        # Whatever one request has to wait for, the end of the build must be seen in time.
        at = min(at, now + pace.slowest(build))
    if build.phase is not Phase.COMPLETING and now < build.deadline:
        at = min(at, build.deadline)
    return Retry(at)
