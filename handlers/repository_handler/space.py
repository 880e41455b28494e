"""Checks whether a checkout fits on this host's disk, and makes room for it.

If the disk is full of other things, that is the host's problem, and trying again later can help. A
checkout that would fill the disk by itself is refused, and the cache of other repositories stays.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from handlers.repository_handler.cache import Cache
from handlers.repository_handler.client import DiskFull
from handlers.repository_handler.remote import Repository
from handlers.repository_handler.trees import TooLarge

_SHARE = 10  # a checkout smaller than this fraction of the disk is not what fills it
_NAMES = 1000  # a disk with room for fewer files counts as full, whatever bytes are free


class Space:
    """The disk with the cache and `checkouts`, which has a folder for each active checkout."""

    def __init__(self, checkouts: Path, cache: Cache) -> None:
        self._checkouts = checkouts
        self._cache = cache

    def free(self) -> int:
        """The free bytes; 0 if the disk has no room for more file names."""
        disk = os.statvfs(self._checkouts)
        return 0 if disk.f_files > 0 and disk.f_favail < _NAMES else disk.f_bavail * disk.f_frsize

    def make_room(self, repository: Repository, needed: int) -> None:
        """Free `needed` bytes; removes cached repositories if that is enough.

        Raises `TooLarge` or `DiskFull`.
        """
        free = shutil.disk_usage(self._checkouts).free
        if needed > free and not self._cache.free(needed - free):
            raise self._lack(repository, needed)

    def after_full(self, repository: Repository, had: int) -> None:
        """Clear the cache, so that a checkout for which `had` bytes were too few can try again.

        Raises `TooLarge` or `DiskFull` if that would free less than it had.
        """
        if self._cache.evictable() <= had:
            raise self._lack(repository, had)
        self._cache.clear()

    def _lack(self, repository: Repository, size: int) -> Exception:
        together = len(list(self._checkouts.glob("*.lock"))) > 1
        if together or size < shutil.disk_usage(self._checkouts).total // _SHARE:
            return DiskFull()
        return TooLarge(
            f"The repository {repository.url} needs {size >> 20} MiB or more, and this host has no "
            "room for that: name a smaller `repository.subdirectory`, keep large files out of the "
            "repository, or give the host a larger disk."
        )
