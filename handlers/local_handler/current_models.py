"""Current versions of models on this machine, which runs compare theirs with.

Versions are large, so none is kept that no build needs: an attempt that is not released keeps its
own, and what was used of late stays for builds that have no attempt yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from pathlib import Path

from handlers.local_handler import trees
from handlers.local_handler.staging import IDLE, StagedTrees
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.models import is_id


class CurrentModels(StagedTrees):
    """Named by the version's id, and protected: attempts read them in place."""

    def stage(self, version: str, folder: Path) -> str:
        """Copy a version's files unless that was done before; returns its name."""
        if not is_id(version):
            raise Permanent(f"{version!r} is not the id of a model's version.")
        self._add(version, folder, trees.protect)
        return version

    def prune(self, needed: Callable[[], Set[str]]) -> None:
        """Remove those that are not used of late; `needed`, the names of others to keep, is asked
        for only where there are such."""
        trees.sweep(self._root)
        idle = [path for path in self._root.glob("[!.]*") if _is_idle(path)]
        if not idle:
            return
        names = needed()
        for path in idle:
            if path.name in names:
                self.use(path.name)  # it is asked again a day from now
            elif _is_idle(path):
                trees.remove_tree(path)


def _is_idle(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > IDLE
    except FileNotFoundError:  # another one removed it
        return False
