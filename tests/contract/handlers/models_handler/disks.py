"""Disks that are not this machine's: a share by SMB, one that counts, fails or hangs."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handlers.models_handler.disk import Disk


class Smb(Disk):
    """No links; what somebody reads can be neither replaced nor removed, in any process. What is
    written is found cut short for a moment."""

    def write(self, descriptor: int, content: bytes) -> None:
        half = len(content) // 2
        super().write(descriptor, content[:half])
        if len(content) < 10_000:
            time.sleep(0.001)
        super().write(descriptor, content[half:])

    def open(self, path: Path) -> int | None:
        descriptor = super().open(path)
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def link(self, path: Path, to: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def rename(self, path: Path, to: Path) -> None:
        with _not_read(to):
            super().rename(path, to)

    def unlink(self, path: Path) -> None:
        with _not_read(path):
            super().unlink(path)


@contextmanager
def _not_read(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None
        yield
    finally:
        os.close(descriptor)


class Watched(Disk):
    """Counts what is asked of `disk`, and has a bad day to order: `faults` are the errors that
    calls meet, by their names. What `hangs` goes on when `go_on` is set."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.asked: Counter[str] = Counter()
        self.faults: dict[str, int] = {}
        self.hangs = False
        self.go_on = threading.Event()

    def _ask(self, call: str) -> None:
        self.asked[call] += 1
        if self.hangs:
            self.go_on.wait()
        if call in self.faults:
            raise OSError(self.faults[call], os.strerror(self.faults[call]))

    def create(self, path: Path) -> int:
        self._ask("create")
        return self._disk.create(path)

    def write(self, descriptor: int, content: bytes) -> None:
        self._ask("write")
        self._disk.write(descriptor, content)

    def close(self, descriptor: int) -> None:
        self._disk.close(descriptor)
        self._ask("close")

    def open(self, path: Path) -> int | None:
        self._ask("open mark" if path.name == "mlgate-models.json" else "open")
        return self._disk.open(path)

    def read(self, descriptor: int) -> bytes:
        self._ask("read")
        return self._disk.read(descriptor)

    def link(self, path: Path, to: Path) -> None:
        self._ask("link")
        self._disk.link(path, to)

    def rename(self, path: Path, to: Path) -> None:
        self._ask("rename")
        self._disk.rename(path, to)

    def unlink(self, path: Path) -> None:
        self._ask("unlink")
        self._disk.unlink(path)
