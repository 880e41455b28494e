"""Stages commits on this machine: one clean tree for each, copied for every attempt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Set

from handlers.local_handler import trees
from handlers.local_handler.staging import IDLE, StagedTrees
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.ports import Checkout

KEPT = 10  # at least this many are kept, those used last


class Snapshots(StagedTrees):
    """Named by commit, repository and subdirectory."""

    def stage(self, checkout: Checkout, request: RepositoryRequest) -> str:
        """Copy the checkout unless it is staged already; returns the snapshot's name."""
        where = f"{request.url}\n{request.subdirectory}\n{request.submodules}\n{request.lfs}"
        name = f"{checkout.commit}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
        self._add(name, checkout.folder)
        return name

    def prune(self, needed: Set[str]) -> None:
        """Remove those used longest ago, except `needed` ones and those used recently."""
        trees.sweep(self._root)
        used = [(path.stat().st_mtime, path) for path in self._root.glob("[!.]*")]
        for when, path in sorted(used, reverse=True)[KEPT:]:
            if path.name not in needed and time.time() - when > IDLE:
                trees.remove_tree(path)
