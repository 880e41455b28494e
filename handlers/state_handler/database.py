"""The SQLite file of a state: its tables, and connections to it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Permanent, Temporary

# `due` is separate from `builds`, so that waking a build changes neither it nor its version.
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS builds (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, open INTEGER NOT NULL,
    received_at TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS open_builds ON builds (received_at) WHERE open = 1;
CREATE INDEX IF NOT EXISTS builds_by_time ON builds (received_at);
CREATE TABLE IF NOT EXISTS parts (
    key TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, name)
);
CREATE TABLE IF NOT EXISTS due (
    key TEXT PRIMARY KEY, at TEXT NOT NULL, wakes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS holders (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, stamp TEXT NOT NULL, seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS rejections (
    key TEXT PRIMARY KEY, received_at TEXT NOT NULL, body TEXT NOT NULL
);
INSERT OR IGNORE INTO due SELECT key, received_at, 0 FROM builds WHERE open = 1;
"""
_BUSY_TRIES = 50
_BUSY_SECONDS = 30.0  # how long a statement waits for another process's write


class Database:
    """Raises `Permanent` if the file is not an mlgate database, `Temporary` if it stays locked.

    The constructor also raises OSError, when the file cannot be created.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        _create(path)
        with self.connection() as db:
            # SQLite does not wait when another process is changing the journal mode as well.
            for _ in range(_BUSY_TRIES):
                try:
                    db.executescript(_SCHEMA)
                    break
                except sqlite3.OperationalError:
                    clock.sleep(0.1)
            else:
                db.executescript(_SCHEMA)

    @contextmanager
    def journal_kept(self) -> Iterator[None]:
        """Until the end, a commit waits once for the disk.

        The last connection to close moves the journal into the file and removes it, which takes
        four more waits. So one stays open, which is not used.
        """
        with ExitStack() as stack:
            with suppress(sqlite3.Error):  # slower without, nothing else
                kept = sqlite3.connect(self._path, check_same_thread=False)
                stack.enter_context(closing(kept))
                kept.execute("SELECT 1 FROM builds").fetchone()
            yield

    @contextmanager
    def connection(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """A new connection for each use: cheap, and safe from any thread. Commits at the end.

        With `writing`, nobody else writes meanwhile, so what was read stays true.
        """
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as db, db:
                if writing:
                    db.execute("BEGIN IMMEDIATE")
                yield db
        except sqlite3.OperationalError as error:
            raise Temporary(f"The state at {self._path} does not answer: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise Permanent(
                f"The state at {self._path} is not an mlgate database: {error}. Move it away, or "
                "set MLGATE_STATE to another place."
            ) from error


def _create(path: Path) -> None:
    """Create the file if it is not there, before SQLite does, so that others can never read it.

    A file that exists is not opened: closing it would drop the locks that this process has on it,
    also those of SQLite's connections (https://sqlite.org/howtocorrupt.html, 2.2), and another
    process would remove a journal in use.
    """
    try:
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        wrong = errno.EISDIR if path.is_dir() else errno.EACCES
        if path.is_dir() or not os.access(path, os.R_OK | os.W_OK):
            raise OSError(wrong, os.strerror(wrong)) from None
