"""Exclusive use of a folder, by threads and processes alike; the kernel frees it at a crash."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.05  # seconds between two tries


@contextmanager
def locked(file: Path, patience: float = 0) -> Iterator[bool]:
    """Hold `file`'s lock; false when nobody gave it up within `patience` seconds.

    The holder may delete the file: whoever then gets the lock of a deleted one tries again.
    """
    limit = time.monotonic() + patience
    while True:
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if not _try(descriptor):
                if time.monotonic() >= limit:
                    yield False
                    return
            elif _is(descriptor, file):
                yield True
                return
        finally:
            os.close(descriptor)
        time.sleep(_PAUSE)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
