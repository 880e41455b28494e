"""Bare repositories kept between builds, one folder per address.

`<key>/` is the repository, `<key>.lock` its lock, whose time of change is that of its last use.
A file `refs/mlgate/<sha>` says that this object's commit is there as a whole: an interrupted
fetch leaves none. Being a ref, it also tells a server what need not be sent again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dulwich.repo import Repo

from handlers.repository_handler.locks import locked
from mlgate.orchestration.errors import Temporary


class Entry:
    """One cached repository, while its lock is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fresh = False  # made by this very checkout: doing so again would change nothing

    def create(self) -> None:
        """Make the repository if it is not there: as a whole or not at all."""
        if self.folder.exists():
            return
        new = self.folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        Repo.init_bare(new).close()
        new.rename(self.folder)
        self.fresh = True

    def known(self, sha: str) -> str | None:
        """The commit that `sha` stands for, if it is there as a whole."""
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

    def clear(self) -> None:
        shutil.rmtree(self.folder.with_suffix(".new"), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _marker(self, sha: str) -> Path:
        return self.folder / "refs" / "mlgate" / sha


class Cache:
    """`limit` is in bytes; `patience` in seconds, for somebody else's use of an entry."""

    def __init__(self, folder: Path, limit: int, patience: float) -> None:
        self._folder = folder
        self._limit = limit
        self._patience = patience

    @contextmanager
    def entry(self, key: str, shown: str) -> Iterator[Entry]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._folder / f"{key}.lock"
        with locked(lock, self._patience) as mine:
            if not mine:
                raise Temporary(f"Another checkout of {shown} is under way on this host.", 30)
            os.utime(lock)
            yield Entry(self._folder / key)

    def prune(self) -> None:
        """Forget what was used longest ago until the rest fits; never what is in use."""
        self._prune(self._limit)

    def clear(self) -> None:
        """Forget all that is not in use."""
        self._prune(0)

    def _prune(self, limit: int) -> None:
        used = {lock: _used(lock) for lock in self._folder.glob("*.lock")}
        sizes = {lock: _size(lock.with_suffix("")) for lock in used}
        excess = sum(sizes.values()) - limit
        for lock in sorted(used, key=lambda lock: used[lock]):
            if excess <= 0:
                return
            with locked(lock) as mine:
                if mine:
                    shutil.rmtree(lock.with_suffix(".new"), ignore_errors=True)
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink()
                    excess -= sizes[lock]


def _used(lock: Path) -> float:
    try:
        return lock.stat().st_mtime
    except FileNotFoundError:  # somebody else prunes
        return 0


def _size(folder: Path) -> int:
    """Bytes on disk of the files below; those that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 -- many files
            except FileNotFoundError:
                continue
    return total
