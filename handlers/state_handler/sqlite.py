"""Builds and their secrets on one machine: a SQLite file, and beside it a folder of tokens.

Tokens are not in the file, so that it can be copied, listed and kept without them: a deleted row
may linger in free pages.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from handlers.state_handler import rejections
from handlers.state_handler.database import Database
from handlers.state_handler.drafts import compose
from handlers.state_handler.holders import Holders
from handlers.state_handler.shelf import Shelf
from handlers.state_handler.tokens import TokenFolder
from mlgate.orchestration.builds import Build
from mlgate.orchestration.clock import Clock, SystemClock
from mlgate.orchestration.durable import Due, Rejection, Stored
from mlgate.orchestration.errors import OrchestrationError, Permanent

log = logging.getLogger("mlgate")

ABANDONED = timedelta(days=1)  # by then no start is delivered again
_AT_ONCE = 100  # builds of the history in memory


class SqliteState:
    """`StatePort` on one machine; safe for several threads and processes.

    Raises `Permanent` when the file cannot be created or is not an mlgate database,
    `Temporary` when it stays locked.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Without a `clock`, leases use the monotonic clock."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._tokens = TokenFolder(path.with_name(path.name + ".tokens"))
            self._database = Database(path, clock or SystemClock())
        except OSError as error:
            raise Permanent(
                f"The state at {path} cannot be used: {error.strerror}. Set MLGATE_STATE to a "
                "place that this user can write to."
            ) from error
        elapsed = time.monotonic if clock is None else (lambda: clock.now().timestamp())
        self._holders = Holders(self._database, elapsed)
        self._shelf = Shelf(self._head, self._parts)
        self._logged: set[str] = set()  # rejections that cannot be read
        for key in self._tokens.older(ABANDONED):
            self._forget_if_unknown(key)

    def in_use(self) -> AbstractContextManager[None]:
        """Makes saves cheaper until its end, for a host that saves often."""
        return self._database.journal_kept()

    def create(self, build: Build, token: SecretStr | None) -> bool:
        # The token first: a build must never be found without it.
        wrote = token is not None and self._tokens.write(build.key, token)
        head = compose(build, None).head.decode()
        at = _sortable(build.received_at)
        try:
            with self._database.connection() as db:
                created = db.execute(
                    "INSERT OR IGNORE INTO builds VALUES (?, 1, ?, ?, ?)",
                    (build.key, int(build.open), at, head),
                ).rowcount
                if created and build.open:
                    db.execute("INSERT OR REPLACE INTO due VALUES (?, ?, 0)", (build.key, at))
        except OrchestrationError:
            if wrote:
                self._forget_if_unknown(build.key)
            raise
        if not created:
            if wrote and not self._is_open(build.key):
                self._tokens.forget(build.key)
            return False
        if token is not None and not self._tokens.has(build.key):
            # An old token, which was removed as abandoned just before the build was created.
            self._tokens.write(build.key, token)
        return True

    def load(self, key: str) -> Stored | None:
        return self._shelf.load(key)

    def save(self, build: Build, version: str) -> Stored | None:
        draft = self._shelf.draft(build, version)
        if draft is None:
            return None
        with self._database.connection() as db:
            saved = db.execute(
                "UPDATE builds SET version = version + 1, open = ?, body = ?"
                " WHERE key = ? AND version = ?",
                (int(build.open), draft.head.decode(), build.key, int(version)),
            ).rowcount
            if not saved:
                return None
            db.executemany(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)",
                [(build.key, name, body) for name, body in draft.parts.items()],
            )
            if not build.open:
                db.execute("DELETE FROM due WHERE key = ?", (build.key,))
                db.execute(
                    "DELETE FROM parts WHERE key = ?"
                    " AND name NOT IN (SELECT value FROM json_each(?))",
                    (build.key, json.dumps(sorted(draft.record.head.names()))),
                )
        return self._shelf.keep(draft.record, str(int(version) + 1))

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        return self._holders.lease(key, owner, seconds)

    def release(self, key: str, owner: str) -> None:
        self._holders.release(key, owner)

    def due(self) -> list[Due]:
        with self._database.connection() as db:
            rows = db.execute("SELECT key, at, wakes FROM due ORDER BY at, key").fetchall()
        return [Due(key, datetime.fromisoformat(at), wakes) for key, at, wakes in rows]

    def set_due(self, due: Due) -> None:
        with self._database.connection() as db:
            db.execute(
                "UPDATE due SET at = ?, wakes = ? WHERE key = ?",
                (_sortable(due.at), due.wakes, due.key),
            )

    def builds(self, limit: int = 100) -> list[Build]:
        """Newest first."""
        with self._database.connection() as db:
            rows = db.execute(
                "SELECT key FROM builds ORDER BY received_at DESC LIMIT ?", (limit,)
            ).fetchall()
        found = [self._shelf.readable(key) for (key,) in rows]
        return [build for build in found if build is not None]

    def history(
        self, limit: int, without: Container[str] = ()
    ) -> Iterator[tuple[str, Build | None]]:
        with self._database.connection() as db:
            rows = db.execute(
                "SELECT key FROM builds WHERE open = 0 ORDER BY received_at DESC, key LIMIT ?",
                (limit,),
            ).fetchall()
        keys = [key for (key,) in rows if key not in without]
        for start in range(0, len(keys), _AT_ONCE):
            with self._database.connection() as db:
                heads = db.execute(
                    "SELECT key, body FROM builds WHERE key IN (SELECT value FROM json_each(?))"
                    " ORDER BY received_at DESC, key",
                    (json.dumps(keys[start : start + _AT_ONCE]),),
                ).fetchall()
            for key, head in heads:
                yield key, self._shelf.passing(key, head)

    def token(self, key: str) -> SecretStr | None:
        return self._tokens.read(key)

    def forget_token(self, key: str) -> None:
        self._tokens.forget(key)

    def reject(self, rejection: Rejection) -> None:
        with self._database.connection() as db:
            db.execute(
                "INSERT OR REPLACE INTO rejections VALUES (?, ?, ?)",
                (rejection.key, _sortable(rejection.received_at), rejections.as_text(rejection)),
            )

    def rejection(self, key: str) -> Rejection | None:
        with self._database.connection() as db:
            row = db.execute("SELECT body FROM rejections WHERE key = ?", (key,)).fetchone()
        return None if row is None else rejections.from_text(key, row[0])

    def rejections(self, limit: int = 100) -> list[Rejection]:
        """Newest first."""
        with self._database.connection() as db:
            rows = db.execute(
                "SELECT key, body FROM rejections ORDER BY received_at DESC LIMIT ?", (limit,)
            ).fetchall()
        return rejections.readable(rows, self._logged)

    def skew(self) -> timedelta | None:
        """None: the state's clock is this host's own."""
        return None

    def _head(self, key: str) -> tuple[str, str] | None:
        with self._database.connection() as db:
            row = db.execute("SELECT body, version FROM builds WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], str(row[1]))

    def _parts(self, key: str, names: Sequence[str]) -> Mapping[str, bytes]:
        with self._database.connection() as db:
            return dict(
                db.execute(
                    "SELECT name, body FROM parts WHERE key = ?"
                    " AND name IN (SELECT value FROM json_each(?))",
                    (key, json.dumps(names)),
                )
            )

    def _is_open(self, key: str) -> bool:
        with self._database.connection() as db:
            row = db.execute("SELECT open FROM builds WHERE key = ?", (key,)).fetchone()
        return row is not None and bool(row[0])

    def _forget_if_unknown(self, key: str) -> None:
        """Remove the token of a build that was never created."""
        try:
            # With `writing`, no build can be created between the query and the removal.
            with self._database.connection(writing=True) as db:
                known = db.execute("SELECT 1 FROM builds WHERE key = ?", (key,)).fetchone()
                if known is None:
                    self._tokens.forget(key)
        except OrchestrationError as error:
            log.info("the token of build %s stays until mlgate starts again: %s", key, error)


def _sortable(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")
