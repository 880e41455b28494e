"""Whose files in /proc a process has: root's, if it may not be read (proc(5)).

As root, who reads everything, the group tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def told_from_root() -> Iterator[tuple[int, int]]:
    """What starts meanwhile is not of root's group; its user and group."""
    if os.getuid() != 0:
        yield os.getuid(), os.getgid()
        return
    group = os.getgid()
    os.setregid(_NOBODY, _NOBODY)
    try:
        yield 0, _NOBODY
    finally:
        os.setregid(group, group)


def owner(pid: int) -> tuple[int, int]:
    found = Path(f"/proc/{pid}/environ").stat()
    return found.st_uid, found.st_gid
