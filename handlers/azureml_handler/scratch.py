"""Room on this host's disk for runs' files, on their way to the builds' files."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Temporary

PATIENCE = timedelta(minutes=10)  # a shortage may pass; files that are left out are lost for good


def free_bytes() -> int:
    """The free bytes of the disk with the folder for temporary files."""
    return shutil.disk_usage(tempfile.gettempdir()).free


class Scratch:
    """Gives folders to at most `at_once` runs at the same time; safe for threads."""

    def __init__(self, at_once: int, clock: Clock, free: Callable[[], int] = free_bytes) -> None:
        self._at_once = at_once
        self._clock = clock
        self._free = free
        self._alone = threading.Lock()
        self._short_since: dict[str, datetime] = {}  # by attempt

    @contextmanager
    def folder(self, run: str, attempt: str, wanted: int) -> Iterator[tuple[Path, int]]:
        """A folder that is removed afterwards, and how many bytes it can hold.

        Runs that want more than a share of the room get it one after another. Raises Temporary
        while there is less than `wanted`, for `PATIENCE` at most, and for an OSError in the block:
        the disk was filled meanwhile.
        """
        try:
            with ExitStack() as stack:
                if wanted > self._room() // self._at_once:
                    stack.enter_context(self._alone)
                made = tempfile.TemporaryDirectory(prefix="mlgate-", ignore_cleanup_errors=True)
                folder = stack.enter_context(made)
                room = self._room()
                if wanted > room:
                    self._be_patient(run, attempt)
                yield Path(folder), room
                self._short_since.pop(attempt, None)
        except OSError as error:
            # Only the disk's own text: others may hold an address with its signature.
            why = error.strerror or type(error).__name__
            raise _no_room(run, why) from error

    def _be_patient(self, run: str, attempt: str) -> None:
        now = self._clock.now()
        if now < self._short_since.setdefault(attempt, now) + PATIENCE:
            raise _no_room(run, "too little is free")

    def _room(self) -> int:
        return self._free() // 2  # a build's folder may be on the same disk, and gets a copy


def _no_room(run: str, why: str) -> Temporary:
    return Temporary(
        f"This host has no room for the files of the run {run}: {why}. Free some space, or set "
        "TMPDIR to another place.",
        delay=30.0,
    )
