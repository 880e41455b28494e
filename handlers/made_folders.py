"""Folders that are made only for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def unmade_again(folder: Path) -> Iterator[None]:
    """At the end, remove the folder and its parents if they were missing and are empty."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    finally:
        for each in missing:
            with suppress(OSError):  # it is missing, or holds something by now
                each.rmdir()
