"""Builds and their secrets on one machine: a SQLite file, and beside it a folder of tokens.

Tokens are apart from the builds so that the file can be copied, listed and kept without them; one
file per token, because an unlinked file is gone while a deleted row may linger in free pages.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from handlers.state_handler.records import (
    as_build,
    as_rejection,
    build_or_none,
    build_record,
    rejection_record,
)
from mlgate.orchestration.builds import Build
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import Clock, Rejection, Stored

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS builds (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, open INTEGER NOT NULL,
    received_at TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS open_builds ON builds (received_at) WHERE open = 1;
CREATE INDEX IF NOT EXISTS builds_by_time ON builds (received_at);
CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS rejections (
    key TEXT PRIMARY KEY, received_at TEXT NOT NULL, body TEXT NOT NULL
);
"""
_SCRATCH_SECONDS = 3600.0
_BUSY_TRIES = 50
_BUSY_SECONDS = 30.0  # how long a statement waits for another process's write


class SqliteState:
    """`StatePort` on one machine; safe for several threads and processes.

    Raises `Permanent` when the file cannot be made or is not a database of ours, `Temporary`
    when it stays locked.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._tokens = path.with_name(path.name + ".tokens")
        self._clock = clock or SystemClock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._tokens.mkdir(mode=0o700, exist_ok=True)
            # Created before SQLite opens it, so that it is never readable by others.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise Permanent(
                f"The state at {path} cannot be used: {error.strerror}. Set MLGATE_STATE to a "
                "place that this user may write to."
            ) from error
        self._prepare()

    def _prepare(self) -> None:
        with self._connect() as db:
            # Changing the journal's mode does not wait for another process that does the same.
            for _ in range(_BUSY_TRIES):
                try:
                    db.executescript(_SCHEMA)
                    break
                except sqlite3.OperationalError:
                    self._clock.sleep(0.1)
            else:
                db.executescript(_SCHEMA)
        for scratch in self._tokens.glob(".*"):
            # Left by a process that was killed while it wrote; a living one is done in no time.
            with suppress(OSError):
                if scratch.stat().st_mtime < time.time() - _SCRATCH_SECONDS:
                    scratch.unlink()

    def create(self, build: Build, token: SecretStr | None) -> bool:
        # The token first: a build must never be found without it.
        wrote = token is not None and self._write_token(build.key, token)
        with self._connect() as db:
            cursor = db.execute(
                "INSERT OR IGNORE INTO builds VALUES (?, 1, 1, ?, ?)",
                (build.key, build.received_at.isoformat(), build_record(build)),
            )
            created = cursor.rowcount == 1
        if wrote and not created and not self._is_open(build.key):
            self.forget_token(build.key)
        return created

    def load(self, key: str) -> Stored | None:
        with self._connect() as db:
            row = db.execute("SELECT body, version FROM builds WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return Stored(as_build(key, row[0]), str(row[1]))

    def save(self, build: Build, version: str) -> Stored | None:
        with self._connect() as db:
            cursor = db.execute(
                "UPDATE builds SET version = version + 1, open = ?, body = ?"
                " WHERE key = ? AND version = ?",
                (int(build.open), build_record(build), build.key, int(version)),
            )
            saved = cursor.rowcount == 1
        return Stored(build, str(int(version) + 1)) if saved else None

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        now = self._clock.now().timestamp()
        with self._connect() as db:
            cursor = db.execute(
                "INSERT INTO leases VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE"
                " SET owner = ?2, until = ?3 WHERE owner = ?2 OR until <= ?4",
                (key, owner, now + seconds, now),
            )
            return cursor.rowcount == 1

    def release(self, key: str, owner: str) -> None:
        with self._connect() as db:
            db.execute("DELETE FROM leases WHERE key = ? AND owner = ?", (key, owner))

    def open_builds(self) -> list[Build]:
        with self._connect() as db:
            rows = db.execute("SELECT body FROM builds WHERE open = 1 ORDER BY received_at")
            return [build for (body,) in rows if (build := build_or_none(body)) is not None]

    def builds(self, limit: int = 100) -> list[Build]:
        """Newest first."""
        with self._connect() as db:
            rows = db.execute("SELECT body FROM builds ORDER BY received_at DESC LIMIT ?", (limit,))
            return [build for (body,) in rows if (build := build_or_none(body)) is not None]

    def token(self, key: str) -> SecretStr | None:
        try:
            with _told(self._tokens):
                return SecretStr(self._token_file(key).read_text("utf-8"))
        except FileNotFoundError:
            return None

    def forget_token(self, key: str) -> None:
        with _told(self._tokens):
            self._token_file(key).unlink(missing_ok=True)

    def reject(self, rejection: Rejection) -> None:
        body = rejection_record(rejection)
        with self._connect() as db:
            db.execute(
                "INSERT OR REPLACE INTO rejections VALUES (?, ?, ?)",
                (rejection.key, rejection.received_at.isoformat(), body),
            )

    def rejection(self, key: str) -> Rejection | None:
        with self._connect() as db:
            row = db.execute("SELECT body FROM rejections WHERE key = ?", (key,)).fetchone()
        return None if row is None else as_rejection(row[0])

    def rejections(self, limit: int = 100) -> list[Rejection]:
        """Newest first."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT body FROM rejections ORDER BY received_at DESC LIMIT ?", (limit,)
            )
            return [as_rejection(body) for (body,) in rows]

    def _is_open(self, key: str) -> bool:
        stored = self.load(key)
        return stored is not None and stored.build.open

    def _token_file(self, key: str) -> Path:
        return self._tokens / key

    def _write_token(self, key: str, token: SecretStr) -> bool:
        """Whether the file is new; an existing one belongs to the same identity and stays."""
        scratch = self._tokens / f".{uuid.uuid4().hex}"
        with _told(scratch):
            descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(token.get_secret_value())
            try:
                self._token_file(key).hardlink_to(scratch)
            except FileExistsError:
                return False
            finally:
                scratch.unlink()
        return True

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection per use: cheap, and safe from any thread. Commits at the end."""
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as db, db:
                yield db
        except sqlite3.OperationalError as error:
            raise Temporary(f"The state at {self._path} does not answer: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise Permanent(
                f"The state at {self._path} is not a database of ours: {error}. Move it away, or "
                "set MLGATE_STATE to another place."
            ) from error


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Temporary(f"{place} does not answer: {error.strerror}.") from error
