"""Places of this machine where files fail as they do on a disk in trouble."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNWRITABLE = Path("/sys/kernel")  # nobody, root included, makes a file there
BROKEN, UNREADABLE = Path("/proc/self"), "mem"  # reading the beginning of this file is an I/O error


@contextmanager
def a_full_disk(most: int = 1 << 20) -> Iterator[None]:
    """No file of this process can have more bytes: writing fails in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
