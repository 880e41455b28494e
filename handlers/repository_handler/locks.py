"""File locks for threads and processes; the kernel frees them after a crash.

Nothing waits for a lock here: a caller that does not get it finds out at once and can try later.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold the lock of `file`, alone or, if `shared`, together with others; false if it is taken.

    Its only holder may delete the file. A process that gets the lock of a deleted file tries again.
    """
    while True:
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            mine = _try(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if not mine or _is(descriptor, file):
                yield mine
                return
        finally:
            os.close(descriptor)


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
