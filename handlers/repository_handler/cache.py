"""Keeps bare repositories between builds, one folder for each address.

`<key>/` is the repository. Everything that uses it shares the lock of `<key>.lock`, whose
modification time is the last use; removing the repository needs that lock alone. A fetch holds
`<key>.fetch`. So a repository can be read by many at once, even during a fetch: git adds objects
and never changes them, and here objects are removed only with the whole repository.

A file `refs/mlgate/<sha>` marks this object's commit as complete: an interrupted fetch leaves no
such file. Because it is a ref, it also shows a server what need not be sent again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handlers.repository_handler.locks import locked
from mlgate.orchestration.errors import Busy

# What git and dulwich expect in a repository (gitrepository-layout).
_FOLDERS = ("objects/info", "objects/pack", "refs/heads", "refs/tags")
_FILES = {
    "HEAD": "ref: refs/heads/master\n",
    "config": "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n",
}
_TURN = 5.0  # seconds until the next try if the repository is busy


def _init_bare(folder: Path) -> None:
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    for name, content in _FILES.items():
        (folder / name).write_text(content, "ascii")


class Entry:
    """One cached repository, which stays while this is in use."""

    def __init__(self, folder: Path, shown: str) -> None:
        self.folder = folder
        self.fresh = False  # made by this checkout, so making it again would change nothing
        self._shown = shown
        self._doom = folder / "mlgate-doomed"

    def create(self) -> None:
        """Make the repository if it does not exist, atomically."""
        if self.folder.exists():
            return
        new = self.folder.with_name(f"{self.folder.name}.new-{os.urandom(6).hex()}")
        new.mkdir()
        _init_bare(new)
        try:
            new.rename(self.folder)
        except OSError:
            if not self.folder.exists():
                raise
            shutil.rmtree(new, ignore_errors=True)  # another checkout was quicker
        else:
            self.fresh = True

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """Hold the lock for fetching; raises Busy if another checkout holds it."""
        with locked(self.folder.with_suffix(".fetch")) as mine:
            if not mine:
                raise Busy(f"Another checkout of {self._shown} is fetching on this host.", _TURN)
            for left in self.folder.glob("*.lock"):  # git's locks from a fetch that was killed
                left.unlink(missing_ok=True)
            yield

    @property
    def empty(self) -> bool:
        """Whether no fetch was ever completed."""
        place = self.folder / "refs" / "mlgate"
        return not place.is_dir() or not any(place.iterdir())

    @property
    def packs(self) -> int:
        return sum(1 for _ in (self.folder / "objects" / "pack").glob("*.pack"))

    def known(self, sha: str) -> str | None:
        """The commit of the object `sha`, if it is completely here."""
        try:
            commit = self._marker(sha).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None

    def remember(self, sha: str, commit: str) -> None:
        for name in (sha, commit):
            marker = self._marker(name)
            marker.parent.mkdir(exist_ok=True)
            new = marker.with_suffix(".new")
            new.write_text(f"{commit}\n", "ascii")
            new.replace(marker)

    def doom(self) -> None:
        """Mark it for removal as soon as nothing uses it; until then it cannot be opened again."""
        with suppress(OSError):
            self._doom.touch()

    @property
    def doomed(self) -> bool:
        return self._doom.exists()

    def _marker(self, sha: str) -> Path:
        return self.folder / "refs" / "mlgate" / sha


class Cache:
    """The cached repositories in a folder; `limit` is in bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    @contextmanager
    def entry(self, key: str, shown: str) -> Iterator[Entry]:
        """Use a repository, possibly along with others; raises Busy while it is being removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        entry = Entry(self._folder / key, shown)
        if entry.doomed:
            self.remove(key)
        lock = self._folder / f"{key}.lock"
        with locked(lock, shared=True) as mine:
            if not mine or entry.doomed:
                raise Busy(f"The cache of {shown} on this host is being rebuilt.", _TURN)
            os.utime(lock)
            yield entry

    def remove(self, key: str) -> bool:
        """Remove a repository; false if it is in use."""
        lock = self._folder / f"{key}.lock"
        with locked(lock) as mine:
            if mine:
                for path in (*self._folder.glob(f"{key}.new-*"), self._folder / key):
                    shutil.rmtree(path, ignore_errors=True)
                (self._folder / f"{key}.fetch").unlink(missing_ok=True)
                lock.unlink()
            return mine

    def prune(self) -> None:
        """Remove the repositories used longest ago until the rest fits, but none that is in use.

        A repository that exceeds the limit by itself is removed first, so that others can stay.
        """
        sizes = self._sizes()
        self._evict(sizes, sum(sizes.values()) - self._limit)

    def clear(self) -> None:
        """Remove all repositories that are not in use."""
        sizes = self._sizes()
        self._evict(sizes, sum(sizes.values()))

    def free(self, amount: int) -> bool:
        """Remove as little as possible to free `amount` bytes; false, and nothing is removed, if
        that is impossible."""
        if self.evictable() < amount:
            return False
        self._evict(self._sizes(), amount)
        return True

    def evictable(self) -> int:
        """The bytes of the repositories that are not in use."""
        return sum(size for lock, size in self._sizes().items() if _idle(lock))

    def _sizes(self) -> dict[Path, int]:
        return {lock: size_on_disk(lock.with_suffix("")) for lock in self._folder.glob("*.lock")}

    def _evict(self, sizes: dict[Path, int], excess: int) -> None:
        used = {lock: (sizes[lock] <= self._limit, _used(lock)) for lock in sizes}
        for lock in sorted(sizes, key=lambda lock: used[lock]):
            if excess <= 0:
                return
            if self.remove(lock.stem):
                excess -= sizes[lock]


def _idle(lock: Path) -> bool:
    with locked(lock) as mine:
        return mine


def _used(lock: Path) -> float:
    try:
        return lock.stat().st_mtime
    except FileNotFoundError:  # another process is pruning
        return 0


def size_on_disk(folder: Path) -> int:
    """The bytes on disk of the files below; files that vanish meanwhile don't count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 -- many files
            except FileNotFoundError:
                continue
    return total
