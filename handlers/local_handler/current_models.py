"""Stages the current versions of models on this machine, for runs to compare theirs with.

Versions are large, so only those that builds need are kept: the version of each attempt that is not
released, and those used recently, for builds that have no attempt yet.
"""

from __future__ import annotations

import filecmp
import time
from collections.abc import Callable, Set
from pathlib import Path

from handlers.local_handler import trees
from handlers.local_handler.staging import IDLE, StagedTrees
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.models import is_id


class CurrentModels(StagedTrees):
    """Named by the version's id, and write-protected, because attempts read them in place."""

    def stage(self, version: str, folder: Path) -> str:
        """Copy a version's files unless they are there; returns its name.

        A run may have changed a copy that is there, so it is compared with the files.
        """
        if not is_id(version):
            raise Permanent(f"{version!r} is not the id of a model's version.")
        there = self.use(version)
        if there is not None and not _are_alike(folder, there):
            trees.remove_tree(there)
        self._add(version, folder, trees.protect)
        return version

    def prune(self, needed: Callable[[], Set[str]]) -> None:
        """Remove versions that were not used recently, except those that `needed` names.

        `needed` is called only if there is something to remove.
        """
        trees.sweep(self._root)
        idle = [path for path in self._root.glob("[!.]*") if _is_idle(path)]
        if not idle:
            return
        names = needed()
        for path in idle:
            if path.name in names:
                self.use(path.name)  # checked again after a day
            elif _is_idle(path):
                trees.remove_tree(path)


def _are_alike(one: Path, other: Path) -> bool:
    names = {path.relative_to(one) for path in one.rglob("*")}
    if names != {path.relative_to(other) for path in other.rglob("*")}:
        return False
    return all(_is_like(other / name, one / name) for name in names)


def _is_like(path: Path, given: Path) -> bool:
    if path.is_symlink() or path.is_dir() is not given.is_dir():
        return False
    return path.is_dir() or (path.is_file() and filecmp.cmp(path, given, shallow=False))


def _is_idle(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > IDLE
    except FileNotFoundError:  # another process removed it
        return False
