"""How often a build is looked at, when a look is lost, and how long an end may take. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import Due
from mlgate.orchestration.engine.trouble import Doing

LOCAL_LOOK = timedelta(seconds=1.5)  # while runs on this machine are active
FASTEST_LOOK = timedelta(seconds=5)
SLOWEST_LOOK = timedelta(seconds=30)  # while a pipeline waits
IDLE_LOOK = timedelta(seconds=60)  # while no pipeline waits
LONGEST_PAUSE = timedelta(seconds=60)  # between two looks, whatever the reason
ENDING_GRACE = timedelta(minutes=4)  # for canceled attempts to be seen as ended
POSTING_LIMIT = timedelta(hours=24)  # after the deadline, a completion is given up
TELLING_LIMIT = timedelta(minutes=6)  # after the runs' end, where something is in the way
LONGEST_ENDING = timedelta(minutes=2)  # of one call, once the build must end
LONGEST_TELLING = timedelta(minutes=4)  # and once its verdict is known
HOST_GONE = timedelta(minutes=10)  # without a look of the host that local runs belong to
SERVED_AGAIN = timedelta(minutes=1)  # for a server to return to the version before
SLACK = timedelta(seconds=30)  # how late a look may be before it is presumed lost
MOST_DOUBLINGS = 2  # of that


def last_post(build: Build) -> datetime:
    """Until when a completion is tried again."""
    return max(build.deadline, build.finished_at or build.deadline) + POSTING_LIMIT


def must_be_told(build: Build, now: datetime) -> bool:
    """Whether trouble with files and results, or hosts that died or hung over them, have delayed
    the verdict for long enough."""
    hindered = build.hindered > 0 or build.begun.get(Doing.TURN, 0) > 1
    since = build.ended_at or now
    if build.ending_since is not None:
        # They had to end, which was noticed after the call that was under way then.
        since = min(since, build.ending_since - LONGEST_ENDING)
    return hindered and now >= since + TELLING_LIMIT


def fastest(build: Build) -> timedelta:
    """How far apart two looks are while something is about to happen."""
    return FASTEST_LOOK if build.host is None else LOCAL_LOOK


def slowest(build: Build) -> timedelta:
    """How far apart two looks may be while runs are watched."""
    return SLOWEST_LOOK if build.pipeline is not None else IDLE_LOOK


def next_look(build: Build, now: datetime) -> datetime:
    """When to look again at runs that are under way or wait; never after the deadline."""
    until = now + fastest(build)
    if build.host is None:
        submitted = [run.submitted_at for run in build.runs if run.submitted_at]
        # A tenth of the age: short runs are seen soon, long ones cost little.
        age = now - min(submitted, default=build.received_at)
        until = max(until, now + min(slowest(build), age / 10))
    waiting = [run.not_before for run in build.runs if run.waits and run.not_before]
    return min([until, build.deadline, *(time for time in waiting if time > now)])


def longest_step(build: Build, now: datetime) -> timedelta | None:
    """How long one step of a turn may take; None where a checkout or a download takes its time."""
    if build.phase is Phase.COMPLETING:
        return LONGEST_TELLING
    ending = build.cancel_requested is not None or build.pipeline_ended or now >= build.deadline
    return LONGEST_ENDING if ending else None


def overdue(due: Due, now: datetime) -> bool:
    """Whether the build's look is so overdue that it is sent again.

    A look that waits in a long queue is not lost, and each further message for it would make the
    queue longer: so the slack doubles with every one. A look that is due later than a pause from
    now was written by a wrong clock.
    """
    slack = SLACK * 2 ** min(due.wakes, MOST_DOUBLINGS)
    return not now - slack < due.at <= now + LONGEST_PAUSE + SLACK
