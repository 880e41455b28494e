"""The safety net: builds whose next look is overdue, and starts that never became a build.

A lost look is a delay, never a hang. The cost of a sweep follows the open builds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from mlgate.orchestration.builds import Build
from mlgate.orchestration.conductor import Conductor
from mlgate.orchestration.leases import held
from mlgate.orchestration.ports import Envelope

log = logging.getLogger("mlgate")

SLACK = timedelta(seconds=30)  # how late a look may be before it is taken for lost


def sweep(
    conductor: Conductor,
    owner: str,
    only: str | None = None,
) -> list[str]:
    """Mend what is stuck; returns the keys of the builds whose looks were begun anew.

    `only` is the key of the one build that this host cares for.
    """
    mended = []
    for build in conductor.ports.state.open_builds():
        if only in (None, build.key) and _guarded(_mend_build, conductor, owner, build):
            log.warning("build %s: its next look was overdue", build.build_id)
            mended.append(build.key)
    return mended


def take_up(conductor: Conductor, envelope: Envelope) -> bool:
    """Handle a message that the queue gave up on by itself, if it is a start that became neither
    a build nor a rejection; returns whether it need not be looked at again."""
    return _guarded(_mend_start, conductor, envelope)


def _mend_start(conductor: Conductor, envelope: Envelope) -> bool:
    conductor.mend(envelope)
    return True


def _mend_build(conductor: Conductor, owner: str, build: Build) -> bool:
    """Whether the build's look was overdue and is begun anew."""
    ports = conductor.ports
    if ports.clock.now() < (build.next_look_at or build.received_at) + SLACK:
        return False
    with held(ports.state, build.key, owner) as ours:
        stored = ports.state.load(build.key) if ours else None
        return stored is not None and stored.build == build and conductor.nudge(stored)


def _guarded(act: Callable[..., bool], *arguments: object) -> bool:
    """What `act` returns; one that fails must not keep the others from being mended."""
    try:
        return act(*arguments)
    except Exception:
        log.exception("a sweep could not mend one of its finds")
        return False
