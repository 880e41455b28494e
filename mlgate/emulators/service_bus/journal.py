"""Stores the queues in one SQLite file: an acknowledged message survives a power cut.

It uses a write-ahead log with `synchronous=FULL`, so a commit is on the disk when it returns. If
losing messages with the process is acceptable, no file is needed.

Messages contain tokens, so only the owner can read the file. What is deleted is overwritten
(`secure_delete`), and the log, which still has it, is truncated soon after.

SQLite's exclusive locking mode keeps a second emulator off the same file: the kernel releases the
lock when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgate.emulators.service_bus.records import Changes, Message, State

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sequences (entity TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (
    entity TEXT NOT NULL, message_id BLOB NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (entity, message_id)
);
CREATE TABLE IF NOT EXISTS messages (
    entity TEXT NOT NULL, sequence_number INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL, ttl INTEGER, state INTEGER NOT NULL,
    delivery_count INTEGER NOT NULL, in_flight INTEGER NOT NULL,
    reason TEXT, description TEXT, payload BLOB NOT NULL,
    PRIMARY KEY (entity, sequence_number)
);
"""
_VERSION = 1

_SAVE = """
INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (entity, sequence_number) DO UPDATE SET
    state = excluded.state, delivery_count = excluded.delivery_count,
    in_flight = excluded.in_flight, reason = excluded.reason, description = excluded.description
"""


class JournalError(Exception):
    """The file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The changes of one queue; `entity` is its path."""

    entity: str
    last_sequence_number: int
    changes: Changes


class Journal:
    """The file, open and locked, for use by one thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._has_garbage = True  # a crash may have left some in the log
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _create(file)
            self._database = sqlite3.connect(file, timeout=0, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"{file} cannot be opened ({error}): choose a file that can be written."
            ) from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._database.close()
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise JournalError(
                    f"{file} is in use by another emulator: stop that one, or choose another file."
                ) from error
            raise JournalError(f"{file} is not a file of this emulator: {error}.") from error
        self.purge()

    def _open(self) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "secure_delete=ON", "journal_mode=WAL"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("PRAGMA synchronous=FULL")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, _VERSION}:
            raise sqlite3.DatabaseError(f"it has version {version}")
        self._database.execute("BEGIN EXCLUSIVE")
        for statement in _SCHEMA.split(";"):
            self._database.execute(statement)
        self._database.execute(f"PRAGMA user_version={_VERSION}")
        self._database.execute("COMMIT")

    def setting(self, name: str, default: str) -> str:
        """A setting stored in the file; the first time, it is set to `default`."""
        self._query("INSERT OR IGNORE INTO settings VALUES (?, ?)", name, default)
        return str(self._query("SELECT value FROM settings WHERE name = ?", name)[0][0])

    def last_sequence_number(self, entity: str) -> int:
        rows = self._query("SELECT last FROM sequences WHERE entity = ?", entity)
        return int(rows[0][0]) if rows else 0

    def messages(self, entity: str) -> Iterator[tuple[Message, bool]]:
        """The messages of a queue, and whether each was locked."""
        query = """
            SELECT sequence_number, payload, enqueued_at, ttl, state, delivery_count,
                reason, description, in_flight
            FROM messages WHERE entity = ? ORDER BY sequence_number
        """
        for number, payload, enqueued_at, ttl, state, count, *reasons, in_flight in self._query(
            query, entity
        ):
            message = Message(number, payload, enqueued_at, ttl, State(state), count, *reasons)
            yield message, bool(in_flight)

    def seen(self, entity: str) -> Iterator[tuple[bytes, int]]:
        """The message ids of a queue's duplicate window, earliest end first."""
        yield from self._query(
            "SELECT message_id, until FROM seen WHERE entity = ? ORDER BY until", entity
        )

    def commit(self, entries: Iterable[Entry]) -> None:
        """Write everything or nothing. Raises JournalError."""
        with self._faults():
            self._database.execute("BEGIN IMMEDIATE")
            for entry in entries:
                self._write(entry)
            self._database.execute("COMMIT")

    def _write(self, entry: Entry) -> None:
        entity, changes, execute = entry.entity, entry.changes, self._database.executemany
        self._database.execute(
            "INSERT OR REPLACE INTO sequences VALUES (?, ?)", (entity, entry.last_sequence_number)
        )
        execute(
            "DELETE FROM messages WHERE entity = ? AND sequence_number = ?",
            [(entity, number) for number in changes.removed],
        )
        execute(_SAVE, [_row(entity, message) for message in changes.messages.values()])
        execute(
            "DELETE FROM seen WHERE entity = ? AND message_id = ?",
            [(entity, message_id) for message_id in changes.forgotten],
        )
        execute(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
            [(entity, message_id, until) for message_id, until in changes.seen.items()],
        )
        self._has_garbage = self._has_garbage or bool(changes.removed)

    def purge(self) -> None:
        """Truncate the log, which still has deleted messages. Raises JournalError."""
        if not self._has_garbage:
            return
        self._query("PRAGMA wal_checkpoint(TRUNCATE)")
        self._has_garbage = False

    def close(self) -> None:
        """Close the file, which also purges: SQLite merges the log and removes it."""
        self._database.close()

    def _query(self, statement: str, *values: str) -> list[Any]:
        with self._faults():
            return self._database.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise JournalError(f"{self._file} can no longer be used: {error}.") from error


def _create(file: Path) -> None:
    """Make sure that the file exists and only its owner can use it.

    An existing file is not opened here: closing it would release the locks that another emulator in
    this process has on it (POSIX locks belong to the process, not to the file descriptor).
    """
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        file.chmod(0o600)


def _row(entity: str, message: Message) -> tuple[str | int | bytes | None, ...]:
    return (
        entity,
        message.sequence_number,
        message.enqueued_at,
        message.ttl,
        int(message.state),
        message.delivery_count,
        message.lock_token is not None,
        message.reason,
        message.description,
        message.payload,
    )
