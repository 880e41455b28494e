"""Holding a build while acting on it: a lease that is renewed until the work is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.ports import StatePort

LEASE_SECONDS = 10.0  # how long a build stays with a handler that died


@contextmanager
def held(state: StatePort, key: str, owner: str) -> Iterator[bool]:
    """Yield whether `owner` has the build; if so, keep the lease alive until the block ends.

    A renewal that fails is not an error here: whoever takes over acts on saved state, and the
    compare-and-swap of the next save tells this handler to stop.
    """
    if not state.lease(key, owner, LEASE_SECONDS):
        yield False
        return
    done = threading.Event()

    def renew() -> None:
        while not done.wait(LEASE_SECONDS / 3):
            try:
                state.lease(key, owner, LEASE_SECONDS)
            except OrchestrationError:
                continue

    keeper = threading.Thread(target=renew, name=f"lease-{key[:8]}", daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        done.set()
        keeper.join()
        state.release(key, owner)
