"""Locks of files, for threads and processes alike; the kernel frees them at a crash.

Nobody waits for one here: whoever does not get it is told so at once, and comes again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold `file`'s lock, alone or, if `shared`, beside others who share it; false: others have it.

    Who holds it alone may delete the file: whoever then gets the lock of a deleted one tries again.
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
