"""The records of a run, in a folder that may refuse them: a full disk, or a store that is mounted.

A record that is refused is tried again, as stores recover; one that is refused for long ends the
run, which would have nothing to show for itself.
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
RESERVED_BYTES = 32_768  # kept free for the outcome, which tells that the disk is full

OUTCOME = "outcome.json"

# A full disk, one that fails, too many files or processes: the run cannot help it.
OF_THE_HOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.EAGAIN)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Records:
    """What a run leaves in its output folder, but for the files that it asks to keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._refused: dict[str, tuple[float, OSError]] = {}
        self.reserve()

    def reserve(self) -> None:
        """Keeps room for the outcome, unless there is some already."""
        part = self._part(OUTCOME)
        if not part.exists():
            self.attempt(OUTCOME, lambda: part.write_bytes(b" " * RESERVED_BYTES))

    def write(self, name: str, text: str) -> bool:
        """Whether the file has that text; it appears whole where the folder can rename."""
        content = text.encode("utf-8", "replace")
        return self.attempt(name, lambda: self._replace(name, content))

    def write_over(self, name: str, text: str) -> None:
        """Writes a record where there is no room for one more: over it, if need be in part."""
        content = text.encode("utf-8", "replace")
        if not self.attempt(name, lambda: self._replace(name, content)):
            with (self.folder / name).open("r+b") as record:
                record.write(content)
                record.truncate()

    def attempt(self, name: str, write: Callable[[], object]) -> bool:
        """Whether a part of the record `name` could be written by that call."""
        try:
            write()
        except OSError as error:
            self.refuse(name, error)
            return False
        self._refused.pop(name, None)
        return True

    def refuse(self, name: str, error: OSError) -> None:
        """Remembers what the folder does not take, until it does."""
        self._refused.setdefault(name, (time.monotonic(), error))

    def refusal(self, *, lasting: bool = False) -> str | None:
        """Which record is refused, for too long if `lasting`, and why, as a sentence."""
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
            with contextlib.suppress(OSError):  # half of it takes room from the others
                part.unlink()
            raise


def make_executable(root: Path, listed: Path) -> None:
    """Gives files of the tree, which went through a store, the mode that stores do not keep."""
    names: Sequence[str] = json.loads(listed.read_text("utf-8"))
    for name in names:
        # What cannot be set is told by whoever needs it.
        with contextlib.suppress(OSError, ValueError):
            (root / name).chmod(0o755)
