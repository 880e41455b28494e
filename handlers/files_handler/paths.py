"""Paths inside a build's folder, the same wherever that is."""

from __future__ import annotations

from pathlib import PurePosixPath


def parts_of(path: str) -> tuple[str, ...]:
    """Raises ValueError for a path that would lead out of the folder, or to the folder itself."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"not a path inside a build's folder: {path!r}")
    return parts
