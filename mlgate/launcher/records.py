"""Writes the records of a run to a folder that may refuse them: a full disk, or a mounted store.

A record that is refused is tried again, because stores recover. If it is refused for long, the run
ends, because it would have no results to show.
"""

from __future__ import annotations

import contextlib
import errno
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

PATIENCE_SECONDS = 15.0  # with a folder that refuses
RESERVED_BYTES = 32_768  # reserved for the outcome, which reports that the disk is full

OUTCOME = "outcome.json"

# A full or failing disk, too many files or processes: not the run's fault.
OF_THE_HOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.EAGAIN)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Records:
    """The files of a run in its output folder, except those that it asks to keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._refused: dict[str, tuple[float, OSError]] = {}
        self.reserve()

    def reserve(self) -> None:
        """Reserves room for the outcome, unless that is done already."""
        part = self._part(OUTCOME)
        if not part.exists():
            self.attempt(OUTCOME, lambda: part.write_bytes(b" " * RESERVED_BYTES))

    def write(self, name: str, text: str) -> bool:
        """Writes a record, atomically if the folder can rename; returns whether that succeeded."""
        content = text.encode("utf-8", "replace")
        return self.attempt(name, lambda: self._replace(name, content))

    def write_over(self, name: str, text: str) -> None:
        """Writes a record; if there is no room, over the old one, even if only in part."""
        content = text.encode("utf-8", "replace")
        if not self.attempt(name, lambda: self._replace(name, content)):
            with (self.folder / name).open("r+b") as record:
                record.write(content)
                record.truncate()

    def attempt(self, name: str, write: Callable[[], object]) -> bool:
        """Calls `write`, which writes a part of the record `name`; returns whether it succeeded."""
        try:
            write()
        except OSError as error:
            self.refuse(name, error)
            return False
        self._refused.pop(name, None)
        return True

    def refuse(self, name: str, error: OSError) -> None:
        """Remembers a record that the folder refuses, until it accepts it."""
        self._refused.setdefault(name, (time.monotonic(), error))

    def refusal(self, *, lasting: bool = False) -> str | None:
        """A sentence on a record that is refused, with `lasting` for too long; None if none is."""
        seconds = PATIENCE_SECONDS if lasting else 0.0
        for name, (since, error) in list(self._refused.items()):
            if time.monotonic() - since >= seconds:
                return f"{name} cannot be written: {error.strerror or error}"
        return None

    def _part(self, name: str) -> Path:
        return self.folder / f".{name}.part"

    def _replace(self, name: str, content: bytes) -> None:
        part = self._part(name)
        try:
            with part.open("r+b" if part.exists() else "wb") as record:  # over what is reserved
                record.write(content)
                record.truncate()
            try:
                part.replace(self.folder / name)
            except OSError:  # some mounted stores cannot rename
                part.unlink()
                (self.folder / name).write_bytes(content)
        except OSError:
            with contextlib.suppress(OSError):  # a partial one would take room from others
                part.unlink()
            raise


def make_executable(root: Path, listed: Path) -> None:
    """Restores the mode of executable files in the tree, which stores do not keep."""
    names: Sequence[str] = json.loads(listed.read_text("utf-8"))
    for name in names:
        # If that fails, the program that needs the file reports it.
        with contextlib.suppress(OSError, ValueError):
            (root / name).chmod(0o755)
