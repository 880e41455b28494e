"""How often a build is looked at. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from mlgate.orchestration.builds import Build

LOCAL_LOOK = timedelta(seconds=1.5)  # while runs on this machine are active
FASTEST_LOOK = timedelta(seconds=5)
SLOWEST_LOOK = timedelta(seconds=30)  # while a pipeline waits
IDLE_LOOK = timedelta(seconds=60)  # nobody waits but the files


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
    waiting = [run.not_before for run in build.runs if run.unsubmitted and run.not_before]
    return min([until, build.deadline, *(time for time in waiting if time > now)])
