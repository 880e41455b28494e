"""Commits staged on this machine: one clean tree each, which every attempt gets a copy of."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Set
from pathlib import Path

from handlers.local_handler import trees
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.ports import Checkout

KEPT = 10  # at least so many of the latest used are kept
IDLE = 24 * 3600.0  # seconds; a build that waits for a place uses its snapshot every few seconds


class Snapshots:
    """Trees under `root`, named by commit, repository and subdirectory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def stage(self, checkout: Checkout, request: RepositoryRequest) -> str:
        """Copy the checkout unless that was done before; returns the snapshot's name."""
        where = f"{request.url}\n{request.subdirectory}\n{request.submodules}\n{request.lfs}"
        name = f"{checkout.commit}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
        if self.use(name) is None:
            made = trees.new_name(self._root / name)
            trees.copy_tree(checkout.folder, made)
            trees.appear(made, self._root / name)
            self.use(name)
        return name

    def use(self, name: str) -> Path | None:
        """The tree of that name, kept for a while from now on; None when there is none."""
        path = self._root / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def prune(self, needed: Set[str]) -> None:
        """Remove those used longest ago, save the `needed` ones and any used of late."""
        trees.sweep(self._root)
        used = [(path.stat().st_mtime, path) for path in self._root.glob("[!.]*")]
        for when, path in sorted(used, reverse=True)[KEPT:]:
            if path.name not in needed and time.time() - when > IDLE:
                trees.remove_tree(path)
