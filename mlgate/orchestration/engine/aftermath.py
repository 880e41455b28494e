"""After an error in a build's turn: do what the trouble table says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from mlgate.orchestration.builds import Build, Phase, TroubleKind, Verdict
from mlgate.orchestration.engine import acts, dispatch, pace, progress, trouble
from mlgate.orchestration.engine.promoting import endings, verifying
from mlgate.orchestration.engine.promoting.candidates import NotOfferedError
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.engine.work import DeadlyError, Work
from mlgate.orchestration.errors import BadMessage, Busy, OrchestrationError
from mlgate.orchestration.text import one_line

log = logging.getLogger("mlgate")

_SAID = 1000  # characters of a reason in the log


def sort(work: Work, error: Exception) -> datetime:
    """Do what an error means for the build; returns when to look again."""
    now, doing = work.now(), work.doing
    if isinstance(error, Busy) and work.build.phase is Phase.RECEIVED:
        return now + timedelta(seconds=error.delay)
    what = trouble.sentence(error)
    unforeseen = not isinstance(error, OrchestrationError)
    log.log(
        logging.ERROR if unforeseen else logging.WARNING,
        "build %s: %s: %s",
        work.build.build_id,
        doing,
        what,
        exc_info=error if unforeseen else None,
    )
    if work.build.phase is Phase.COMPLETED:
        complete(work, work.build)  # its last save failed, or what comes after that
        return now
    met = trouble.meet(work.build.troubles, doing, error, now, work.took)
    build = replace(work.build, troubles=met.troubles)
    work.saved.keep(trouble.hinder(build, met.cost) if doing in trouble.LIMIT else build)
    spent = met.spent or isinstance(error, DeadlyError) or trouble.over_limit(work.build, doing)
    build = work.build
    if doing is Doing.POST and now > pace.last_post(build):
        leave_untold(work, what)
    elif doing is Doing.JUDGE and spent:
        work.save(_bare_verdict(work, what))
    elif build.phase is Phase.PROMOTING and build.ending_since is not None:
        if now < build.ending_since + pace.ENDING_GRACE and not spent:
            work.save(build)
            return now + min(met.pause, pace.FASTEST_LOOK)
        work.save(_unpromoted(work, what))
    elif build.phase is Phase.WATCHING and build.ending_since is not None:
        if now < build.ending_since + pace.ENDING_GRACE and not spent:
            work.save(build)
            return now + min(met.pause, pace.FASTEST_LOOK)
        work.well_done(
            f"{Doing.CANCEL}:once more",
            lambda: work.save(dispatch.cancel(work.ports, work.build)),
        )
        end_unseen(work, what)
    else:
        after = _without(work, doing, error, what) if spent else build
        work.save(after)
        if after == build:
            return _again(build, met.pause, now)
    return now


def leave_untold(work: Work, why: str) -> None:
    """End a build whose step could not be completed for so long that nobody waits any more."""
    complete(work, replace(acts.untold(work.build, why), phase=Phase.COMPLETED))


def complete(work: Work, build: Build) -> None:
    """The build is over: release what only an open one needs.

    The token is removed before the build is saved as completed: if a handler dies in between, the
    next one finds no token and knows that the completion was confirmed. It is removed again
    afterwards, since a late copy of the start message may have stored it again.
    """
    state = work.ports.state
    work.well_done(Doing.FORGET, lambda: state.forget_token(build.key))
    work.end()
    work.save(build)
    log.info("build %s: %s: %s", build.build_id, build.verdict, one_line(build.reason, _SAID))
    _let_go(build, state.forget_token)
    _let_go(build, lambda key: work.ports.backend(build).release(key))


def _let_go(build: Build, act: Callable[[str], None]) -> None:
    try:
        act(build.key)
    except Exception as error:  # noqa: BLE001 -- what is left is removed later
        log.warning("build %s: it was not cleaned up: %s", build.build_id, error)


def _without(work: Work, doing: Doing, error: Exception, what: str) -> Build:
    """The build after a step that failed for too long, or for good."""
    build = work.build
    ours = trouble.kind_of(error) is not TroubleKind.PERMANENT
    match doing:
        case Doing.PREPARE:
            findings = error.findings if isinstance(error, BadMessage) else ()
            build = replace(build, infrastructure=ours, findings=findings)
            return acts.concluded(work.ports, build, Verdict.FAILED, what)
        case Doing.OFFER | Doing.PROMOTE:
            ours = not isinstance(error, NotOfferedError | BadMessage)
            if _verifies(build):
                return verifying.stuck(work.ports, build, what)
            if build.promotion and build.promotion.copied and build.ending_since is None:
                # The entry may be in the log: look for it, as for any build that must end.
                return replace(
                    build, cancel_requested=what, ending_since=work.now(), infrastructure=ours
                )
            return endings.refused(work.ports, build, what, ours=ours)
        case Doing.VERIFY:
            return verifying.unasked(work.ports, build, what)
        case Doing.WRITE:
            over = trouble.over_limit(build, doing)
            return acts.unwritten(build, acts.PARTS if over else acts.part_of(work.step), what)
        case Doing.PUBLISH:
            return acts.unpublished(build, what)
        case Doing.POST:
            return acts.plainly(build, acts.COMPLETION)
        case _:
            return replace(
                build, cancel_requested=what, ending_since=work.now(), infrastructure=ours
            )


def _unpromoted(work: Work, what: str) -> Build:
    """The end of a build that must end although its promotion cannot."""
    if _verifies(work.build):
        return verifying.stuck(work.ports, work.build, what)
    return endings.unentered(work.ports, work.build, unknown=True)


def _verifies(build: Build) -> bool:
    return build.promotion is not None and build.promotion.verification is not None


def end_unseen(work: Work, what: str) -> None:
    """End a build whose runs can no longer be watched."""
    try:
        build = replace(progress.abandon(work.build, what), infrastructure=True)
        judged = acts.judged(work.ports, build)
    except Exception:
        log.exception("build %s: it could not be judged", work.build.build_id)
        judged = _bare_verdict(work, what)
    work.save(judged)


def _bare_verdict(work: Work, what: str) -> Build:
    """The verdict over a build that cannot be judged."""
    verdict = Verdict.CANCELED if work.build.pipeline_ended else Verdict.FAILED
    build = replace(work.build, infrastructure=True)
    return acts.concluded(work.ports, build, verdict, what)


def _again(build: Build, pause: timedelta, now: datetime) -> datetime:
    """When to look again; a long wait for one request must not delay the build's end."""
    if build.phase is Phase.WATCHING:
        pause = min(pause, pace.slowest(build))
    at = now + pause
    if build.phase is not Phase.COMPLETING and now < build.deadline:
        at = min(at, build.deadline)
    return at
