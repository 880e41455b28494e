"""Whether a checkout fits on this host's disk, and what may make room for it.

A disk that is full of other things is this host's trouble, and passes. A checkout that fills it by
itself would do so again: it is refused, and others keep what is cached for them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from handlers.repository_handler.cache import Cache
from handlers.repository_handler.client import DiskFull
from handlers.repository_handler.remote import Repository
from handlers.repository_handler.trees import TooLarge

_SHARE = 10  # what takes less than this part of the disk is not what fills it
_NAMES = 1000  # a disk that has room for fewer files is full, whatever its bytes


class Space:
    """Of the disk that holds the cache and `checkouts`, a folder for each that goes on."""

    def __init__(self, checkouts: Path, cache: Cache) -> None:
        self._checkouts = checkouts
        self._cache = cache

    def free(self) -> int:
        """Bytes; none where it is names of files that the disk has no more room for."""
        disk = os.statvfs(self._checkouts)
        return 0 if disk.f_files > 0 and disk.f_favail < _NAMES else disk.f_bavail * disk.f_frsize

    def make_room(self, repository: Repository, needed: int) -> None:
        """Have `needed` bytes free, for which cached repositories go if that is enough.

        Raises `TooLarge` or `DiskFull`.
        """
        free = shutil.disk_usage(self._checkouts).free
        if needed > free and not self._cache.free(needed - free):
            raise self._lack(repository, needed)

    def after_full(self, repository: Repository, had: int) -> None:
        """Clear the cache for another try of a checkout that had `had` bytes and lacked more.

        Raises `TooLarge` or `DiskFull` when that would bring less than it had.
        """
        if self._cache.evictable() <= had:
            raise self._lack(repository, had)
        self._cache.clear()

    def _lack(self, repository: Repository, size: int) -> Exception:
        together = len(list(self._checkouts.glob("*.lock"))) > 1
        if together or size < shutil.disk_usage(self._checkouts).total // _SHARE:
            return DiskFull()
        return TooLarge(
            f"The repository {repository.url} takes {size >> 20} MiB or more here, and this host "
            "has no room for that: name a smaller `repository.subdirectory`, keep large files out "
            "of the repository, or give the host a larger disk."
        )
