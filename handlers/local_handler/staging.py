"""Stages trees on this machine, each once for all the attempts that use it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from handlers.local_handler import trees

CURRENT_MODELS = "current-models"  # the folder of the models' current versions, in a host's home
IDLE = 24 * 3600.0  # seconds; a build that waits for a place uses its trees every few seconds


class StagedTrees:
    """Trees under `root`; the modification time of each is the time of its last use."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def use(self, name: str) -> Path | None:
        """The tree of that name, marked as used now; None if there is none."""
        path = self._root / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def _add(self, name: str, source: Path, prepare: Callable[[Path], None] | None = None) -> None:
        """Copy a folder unless it is there; `prepare` gets the copy before others see it."""
        if self.use(name) is not None:
            return
        made = trees.new_name(self._root / name)
        trees.copy_tree(source, made)
        if prepare is not None:
            prepare(made)
        trees.appear(made, self._root / name)
        self.use(name)
