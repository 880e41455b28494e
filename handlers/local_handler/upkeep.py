"""Decides what is kept under a home, and for how long.

    places/<attempt>          the attempt has a place; made before the attempt's folder
    kept/<build>              the build has attempts; modified when the build was last seen
    kept/<build>.released     the build's attempts are removed once they have ended

So a submit reads only the active attempts, and a release only the builds to remove, however many
others are kept.
"""

from __future__ import annotations

import fcntl
import glob
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handlers.local_handler import environments, trees
from handlers.local_handler.attempts import AttemptFolder
from handlers.local_handler.current_models import CurrentModels
from handlers.local_handler.snapshots import Snapshots

# Seconds after which a build that is neither released nor active is forgotten. A host that was away
# for that long has lost its builds as well.
FORGOTTEN = 7 * 86400.0
_ENVIRONMENTS_KEPT = 10 << 30  # bytes
_RELEASED = ".released"

log = logging.getLogger("mlgate")


class Places:
    """The places of attempts, shared by all processes that use the home."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock for counting and taking places."""
        with self._root.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def held(self, over: Callable[[str], bool]) -> set[str]:
        """The attempts that have a place; removes the places of those that are `over`."""
        found = set()
        for attempt in os.listdir(self._root):  # noqa: PTH208 -- names are what is asked for
            if _is_over(over, attempt):
                (self._root / attempt).unlink(missing_ok=True)
            else:
                found.add(attempt)
        return found

    def take(self, attempt: str) -> None:
        (self._root / attempt).touch()


def _is_over(over: Callable[[str], bool], attempt: str) -> bool:
    """Also False if a run made its folder unreadable: it keeps its own place, and other runs are
    not affected."""
    try:
        return over(attempt)
    except PermissionError as error:
        log.warning("the attempt %s cannot be read: %s", attempt, error.strerror)
        return False


class Builds:
    """The builds that have attempts here."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, build: str) -> None:
        (self._root / build).touch()

    def seen(self, build: str) -> None:
        """Note that the build is in use, so it is not forgotten."""
        with suppress(FileNotFoundError):
            os.utime(self._root / build)

    def let_go(self, build: str) -> None:
        (self._root / f"{build}{_RELEASED}").touch()
        (self._root / build).unlink(missing_ok=True)

    def forget(self, build: str) -> None:
        (self._root / f"{build}{_RELEASED}").unlink(missing_ok=True)

    def released(self) -> list[str]:
        return [path.stem for path in self._root.glob(f"*{_RELEASED}")]

    def unseen_since(self, when: float) -> Iterator[str]:
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):
                if path.suffix != _RELEASED and path.stat().st_mtime < when:
                    yield path.name


class Upkeep:
    """Removes what is no longer needed; `over` returns whether the attempt with an id has ended."""

    def __init__(
        self,
        home: Path,
        places: Places,
        builds: Builds,
        snapshots: Snapshots,
        models: CurrentModels,
        over: Callable[[str], bool],
    ) -> None:
        self._attempts = home / "attempts"
        self._environments = home / "environments"
        self._places = places
        self._builds = builds
        self._snapshots = snapshots
        self._models = models
        self._over = over

    def tidy(self, now: float) -> None:
        """Remove the attempts of released and forgotten builds, and what only they needed."""
        with self._places.alone():
            active = self._places.held(self._over)
        for build in self._builds.unseen_since(now - FORGOTTEN):
            if not any(attempt.startswith(_prefix(build)) for attempt in active):
                self._builds.let_go(build)
        for build in self._builds.released():
            if self._removed(build):
                self._builds.forget(build)
        trees.sweep(self._attempts)
        # Other attempts have their own copy, or their build uses the snapshot every few seconds
        # until it gets a place.
        needed = {AttemptFolder(self._attempts / attempt).snapshot for attempt in active}
        self._snapshots.prune(needed)
        self._models.prune(self._current_models)
        environments.prune(self._environments, _ENVIRONMENTS_KEPT)

    def _current_models(self) -> set[str]:
        """The versions of all kept attempts, because the next attempt of a build needs the same."""
        found = set[str]()
        for path in self._attempts.glob("[!.]*"):
            with suppress(PermissionError):  # the run made its folder unreadable
                if model := AttemptFolder(path).current_model:
                    found.add(model)
        return found

    def _removed(self, build: str) -> bool:
        """Remove the ended attempts of a build; returns whether none is left."""
        gone = True
        for path in self._attempts.glob(f"{glob.escape(_prefix(build))}*"):
            folder = AttemptFolder(path)
            if folder.build not in (build, None):
                continue
            if self._over(folder.id):
                trees.remove_tree(path)
            else:
                gone = False
        return gone


def _prefix(build: str) -> str:
    """What the ids of the build's attempts begin with, and hardly any others (`Attempt.id`)."""
    return f"{build[:12]}-"
