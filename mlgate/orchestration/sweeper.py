"""The safety net: builds whose next look is overdue, and starts that never became a build.

A lost message is a delay, never a hang. The cost of a sweep follows the open builds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from mlgate.orchestration.conductor import Conductor
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.leases import held
from mlgate.orchestration.ports import Envelope

log = logging.getLogger("mlgate")

SLACK = timedelta(seconds=30)  # how late a look may be before it is taken for lost


def sweep(
    conductor: Conductor,
    owner: str,
    dead_starts: Sequence[Envelope] = (),
    only: str | None = None,
) -> list[str]:
    """Mend what is stuck; returns the keys of the builds whose looks were begun anew.

    `only` is the key of the one build that this host cares for. `dead_starts` are start messages
    that the queue gave up on by itself; one that is neither a build nor a rejection is handled as
    if it had just arrived.
    """
    ports = conductor.ports
    mended = []
    for build in ports.state.open_builds():
        due = build.next_look_at or build.received_at
        if ports.clock.now() < due + SLACK or only not in (None, build.key):
            continue
        with held(ports.state, build.key, owner) as ours:
            stored = ports.state.load(build.key) if ours else None
            if stored is not None and stored.build == build and conductor.nudge(stored):
                log.warning("build %s: its next look was overdue", build.build_id)
                mended.append(build.key)
    for envelope in dead_starts:
        try:
            conductor.mend(envelope)
        except OrchestrationError as error:
            log.warning("a dead-lettered start cannot be mended yet: %s", error)
    return mended
