"""Remembers which credentials may read a cached repository: the server decides, not the cache.

A server lets a credential read a whole repository or nothing of it. A permission is remembered for
minutes, so that the submodules and builds of one push do not ask the server again and again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from handlers.repository_handler.remote import Remote

_SECONDS = 300.0  # how long an answer counts, even if access is revoked meanwhile


class Readers:
    """Thread-safe. Holds digests of credentials, never a credential itself."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}

    def note(self, remote: Remote) -> None:
        """Note that the server has just answered this credential."""
        now = self._now()
        with self._lock:
            self._seen = {who: at for who, at in self._seen.items() if now - at < _SECONDS}
            self._seen[remote.reader] = now

    def lately(self, remote: Remote) -> bool:
        """Whether the server answered this credential in the last minutes."""
        with self._lock:
            at = self._seen.get(remote.reader)
        return at is not None and self._now() - at < _SECONDS
