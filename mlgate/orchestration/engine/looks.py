"""A look at a build: requested by a message, and taken by a single handler.

The handler holds a lease on the build, which is renewed until the work is done. One that hangs in a
call does not block others for long: its lease is renewed for an hour at most, and for minutes once
somebody waits for the build's end.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import NOW, QueuePort, StatePort
from mlgate.orchestration.engine import pace
from mlgate.orchestration.wire.messages import encode_look

log = logging.getLogger("mlgate")

LEASE_SECONDS = 10.0  # how long a build stays with a handler that died
RENEWAL_SECONDS = LEASE_SECONDS / 3
MOST_RENEWALS = 1080  # an hour's
RENEWALS_A_CHECK = 5  # between two questions whether the build is waited for


def wake(
    queue: QueuePort, key: str, look: int, pause: timedelta = NOW, *, handed_back: int = 0
) -> None:
    """Send the message for the build's look of that number, to arrive after `pause`.

    Two messages for the same look do no harm: the first one acts and raises the number, the other
    is stale. Each has an id of its own, so that no detection of duplicates drops it.
    """
    body = encode_look(key, look, handed_back)
    queue.send(body, f"{key}-{look}-{uuid.uuid4().hex[:8]}", max(pause, NOW))


@contextmanager
def held(
    state: StatePort,
    key: str,
    owner: str,
    *,
    every: float = RENEWAL_SECONDS,
    most: int = MOST_RENEWALS,
    hangs: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Yield whether `owner` has the build; if so, keep the lease alive until the block ends.

    It is renewed `every` so many seconds, at `most` so often, and until this handler `hangs`.

    A renewal that fails is not an error here: the next handler acts on saved state, and the
    compare-and-swap of the next save stops this one. Nor is a lease that cannot be released: it
    expires.
    """
    if not state.lease(key, owner, LEASE_SECONDS):
        yield False
        return
    done = threading.Event()

    def renew() -> None:
        for number in range(1, most + 1):
            if done.wait(every):
                return
            try:
                if number % RENEWALS_A_CHECK == 0 and hangs():
                    log.warning("build %s: its handler hangs, and another one may continue", key)
                    return
                state.lease(key, owner, LEASE_SECONDS)
            except Exception as error:  # noqa: BLE001 -- tried again in a moment
                log.info("build %s: its lease was not renewed: %s", key, error)

    keeper = threading.Thread(target=renew, name=f"lease-{key[:8]}", daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        done.set()
        keeper.join()
        try:
            state.release(key, owner)
        except Exception as error:  # noqa: BLE001 -- what was done under it is done
            log.info("build %s: its lease was not released: %s", key, error)


def hanging(
    state: StatePort, key: str, clock: Clock, steps: Callable[[], int] = lambda: 0
) -> Callable[[], bool]:
    """Checks whether one step takes too long for somebody who waits for the build's end.

    `steps` counts those that the handler has begun.
    """
    since: datetime | None = None
    step = 0

    def hangs() -> bool:
        nonlocal since, step
        stored, now = state.load(key), clock.now()
        limit = None if stored is None else pace.longest_step(stored.build, now)
        if limit is None:
            since = None
            return False
        if since is None or step != steps():
            since, step = now, steps()
        return now >= since + limit

    return hangs
