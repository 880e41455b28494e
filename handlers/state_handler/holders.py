"""Leases in SQLite, for which the processes' clocks need not agree.

Each renewal writes a new stamp. A process that finds another's stamp remembers it, and takes the
lease when the stamp stays the same for as long as the lease was given. It measures that time as a
difference on its own clock, so what that clock shows does not matter.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

from handlers.state_handler.database import Database

_MOST = 10_000  # remembered stamps of other owners


class Holders:
    """Safe for threads. `elapsed` returns the seconds since any fixed moment."""

    def __init__(self, database: Database, elapsed: Callable[[], float]) -> None:
        self._database = database
        self._elapsed = elapsed
        self._seen: dict[str, tuple[str, float]] = {}  # stamps by key, and since when
        self._lock = threading.Lock()

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        with self._database.connection(writing=True) as db:
            row = db.execute(
                "SELECT owner, stamp, seconds FROM holders WHERE key = ?", (key,)
            ).fetchone()
            if row is not None and row[0] != owner and not self._is_over(key, row[1], row[2]):
                return False
            db.execute(
                "INSERT OR REPLACE INTO holders VALUES (?, ?, ?, ?)",
                (key, owner, uuid.uuid4().hex, seconds),
            )
        with self._lock:
            self._seen.pop(key, None)
        return True

    def release(self, key: str, owner: str) -> None:
        with self._database.connection() as db:
            db.execute("DELETE FROM holders WHERE key = ? AND owner = ?", (key, owner))

    def _is_over(self, key: str, stamp: str, seconds: float) -> bool:
        now = self._elapsed()
        with self._lock:
            seen, since = self._seen.get(key, ("", now))
            if seen == stamp:
                return now - since >= seconds
            self._seen.pop(key, None)
            self._seen[key] = stamp, now
            if len(self._seen) > _MOST:
                del self._seen[next(iter(self._seen))]
        return False
