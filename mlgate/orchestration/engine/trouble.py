"""Trouble with a build: how long it is tolerated, and what happens then. Pure.

Every step that can fail has a row in `TABLE`, every kind of trouble a column: minutes since the
first of it in a row, and what then. Zero is at once, None is until the build's deadline, which ends
everything but the posting of the verdict.

    step      temporary  unfit  permanent  bug   then
    prepare   10         10     0          10    the build fails: it has not begun
    look      None       15     0          15    its runs are canceled, and it ends
    submit    None       15     0          15    likewise; of one run alone: that run fails
    cancel    None       None   None       None  asked again, until the ending's grace is over
    collect   None       15     0          15    that run fails as `infrastructure`
    keep      3          3      0          3     that run's outcome counts, without its files
    judge     1          1      0          1     the build fails as `infrastructure`
    offer     3          3      0          3     the current version stays, and the build fails
    promote   None       15     0          15    likewise
    verify    None       None   None       None  asked again, until its timeout: the entry is undone
    write     3          3      0          1     without notebooks, then without that file
    publish   2          2      0          1     the pipeline does without these results
    post      None       None   None       5     the verdict alone, until a day after the deadline

After three hosts died in a step, the column "then" applies. So it does to a build that is ending
once its grace is over: what did not end by then is given up. `post` ends early only where the
pipeline itself refuses the completion. Waiting for one's turn (`Busy`) is not trouble.

A waiting step is promised its verdict ten minutes after the last run's end. So what failures of
`keep`, `offer`, `write` and `publish` have cost since then, tries and pauses, is added up
(`Build.hindered`) and has a limit for each of them, `LIMIT`: beyond it no file is kept or written,
and nothing is published. What else fails meanwhile is not added up, so six minutes of any clock
are a limit as well (`pace.must_be_told`). What goes well may take as long as it takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mlgate.orchestration.builds import Build, Trouble, TroubleKind
from mlgate.orchestration.errors import (
    BadMessage,
    OrchestrationError,
    Permanent,
    Temporary,
    UnfitHost,
)

DEATHS = 3  # of hosts in one step; one of them may have been an upgrade
LONGEST_DELAY = 60.0  # seconds; a longer delay is cut to this


class Doing(StrEnum):
    """The steps. Those without a row in `TABLE` are done as well as they can be."""

    TURN = "turn"
    ASK = "ask"
    NAME = "name"
    SHOW = "show"
    SHOW_RESULTS = "show-results"
    PREPARE = "prepare"
    LOOK = "look"
    SUBMIT = "submit"
    CANCEL = "cancel"
    COLLECT = "collect"
    KEEP = "keep"
    JUDGE = "judge"
    OFFER = "offer"
    PROMOTE = "promote"
    VERIFY = "verify"
    WRITE = "write"
    PUBLISH = "publish"
    POST = "post"
    FORGET = "forget"
    TIDY = "tidy"
    REGISTER = "register"


def _row(
    temporary: float | None, unfit: float | None, permanent: float | None, bug: float | None
) -> Mapping[TroubleKind, float | None]:
    return {
        TroubleKind.TEMPORARY: temporary,
        TroubleKind.UNFIT: unfit,
        TroubleKind.PERMANENT: permanent,
        TroubleKind.BUG: bug,
    }


TABLE: Mapping[Doing, Mapping[TroubleKind, float | None]] = {
    Doing.PREPARE: _row(10, 10, 0, 10),
    Doing.LOOK: _row(None, 15, 0, 15),
    Doing.SUBMIT: _row(None, 15, 0, 15),
    Doing.CANCEL: _row(None, None, None, None),
    Doing.COLLECT: _row(None, 15, 0, 15),
    Doing.KEEP: _row(3, 3, 0, 3),
    Doing.JUDGE: _row(1, 1, 0, 1),
    Doing.OFFER: _row(3, 3, 0, 3),
    Doing.PROMOTE: _row(None, 15, 0, 15),
    Doing.VERIFY: _row(None, None, None, None),
    Doing.WRITE: _row(3, 3, 0, 1),
    Doing.PUBLISH: _row(2, 2, 0, 1),
    Doing.POST: _row(None, None, None, 5),
}
TRIED_AGAIN = 60.0  # seconds after which one run's files are tried that others' were given up for
LIMIT: Mapping[Doing, float] = {
    Doing.KEEP: 240.0,
    Doing.OFFER: 300.0,
    Doing.WRITE: 390.0,
    Doing.PUBLISH: 450.0,
}
_LONGEST_PAUSE: Mapping[Doing, float] = {  # seconds between two tries
    Doing.KEEP: 15.0,
    Doing.OFFER: 15.0,
    Doing.VERIFY: 5.0,
    Doing.WRITE: 15.0,
    Doing.PUBLISH: 15.0,
}
_PAUSE = 60.0  # of all other steps, whose limits are longer


@dataclass(frozen=True, slots=True)
class Met:
    """The troubles of a build or run after one more; `spent`: it has lasted too long."""

    troubles: tuple[Trouble, ...]
    spent: bool
    pause: timedelta  # until the next try
    cost: float  # seconds, of this try and the wait before it


def kind_of(error: Exception) -> TroubleKind:
    match error:
        case UnfitHost():
            return TroubleKind.UNFIT
        case Permanent() | BadMessage():
            return TroubleKind.PERMANENT
        case OrchestrationError():
            return TroubleKind.TEMPORARY
        case _:
            return TroubleKind.BUG


def sentence(error: Exception) -> str:
    """The error as people read it."""
    if isinstance(error, OrchestrationError):
        return str(error)
    return f"mlgate met an unexpected error: {error!r}"


def meet(
    troubles: tuple[Trouble, ...],
    step: Doing,
    error: Exception,
    now: datetime,
    took: float = 0.0,
) -> Met:
    """Remember that `step` failed, which took so many seconds."""
    kind = kind_of(error)
    others = tuple(each for each in troubles if (each.step, each.kind) != (step, kind))
    met = Trouble(step, kind, now, 1, sentence(error), borne=took, met_at=now)
    cost = took
    for before in troubles:
        if (before.step, before.kind) == (step, kind):
            cost += _waited(before, now)
            times, borne = before.times + 1, before.borne + cost
            met = replace(met, since=before.since, times=times, borne=borne)
    asked = min(error.delay, LONGEST_DELAY) if isinstance(error, Temporary) else 0.0
    pause = max(asked, min(_LONGEST_PAUSE.get(step, _PAUSE), 2.0 ** min(met.times, 10)))
    met = replace(met, pause=pause)
    return Met((*others, met), _spent(met), timedelta(seconds=pause), cost)


def given_up(troubles: tuple[Trouble, ...], step: Doing, now: datetime) -> str | None:
    """Why `step` is not tried now: it has failed for too long, and just a moment ago."""
    for each in troubles:
        since = abs((now - (each.met_at or now)).total_seconds())
        if each.step == step and _spent(each) and since < TRIED_AGAIN:
            return each.what
    return None


def hinder(build: Build, seconds: float) -> Build:
    """The build after a failure to keep, write or publish has cost so much; nobody waits for that
    while a run goes on."""
    over = all(run.over for run in build.runs)
    return replace(build, hindered=build.hindered + seconds) if over else build


def over_limit(build: Build, step: Doing) -> bool:
    """Whether failures have delayed the verdict for so long that it skips that step."""
    return build.hindered >= LIMIT.get(step, math.inf)


def forget(troubles: tuple[Trouble, ...], step: Doing) -> tuple[Trouble, ...]:
    """The troubles after `step` has succeeded."""
    return tuple(each for each in troubles if each.step != step)


def _waited(before: Trouble, now: datetime) -> float:
    """Seconds: its pause, or less where the step was tried earlier for another reason.

    Tries side by side come in any order, a moment apart. Any other time outside the pause does not
    count: the trouble was met by a host with another clock, or the build's message came late.
    """
    since = before.pause if before.met_at is None else (now - before.met_at).total_seconds()
    if -LONGEST_DELAY < since < 0.0:
        return 0.0
    return since if 0.0 <= since < before.pause else before.pause


def _spent(trouble: Trouble) -> bool:
    minutes = TABLE[Doing(trouble.step)][trouble.kind]
    return minutes is not None and trouble.borne >= minutes * 60
