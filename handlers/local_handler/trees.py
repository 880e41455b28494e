"""Copies of folders, appearing and disappearing whole.

A copy is always a private one: two trees never share a file, since runs write into theirs. Where
the file system can share blocks until one side is written (Btrfs, XFS), copy_file_range(2) does.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

_ABANDONED = 24 * 3600.0  # seconds after which a half-made or half-removed tree is nobody's


def copy_tree(source: Path, target: Path) -> None:
    """Copy regular files and folders with their permissions; `target` must not exist."""
    shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)


def new_name(target: Path) -> Path:
    """A name beside `target` to make something under; what stays there `sweep` removes."""
    return target.with_name(f".new-{os.urandom(6).hex()}")


def appear(made: Path, target: Path) -> bool:
    """Give what was made its name; false, with `made` removed, when another was quicker."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
        remove_tree(made)
        return False
    return True


def remove_tree(folder: Path) -> None:
    """Remove a folder at once for everybody who looks, also one with write-protected parts."""
    doomed = folder.with_name(f".old-{os.urandom(6).hex()}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)
    if doomed.exists():
        doomed.chmod(stat.S_IRWXU)
        for directory, below, _ in os.walk(doomed):
            for inner in (Path(directory, name) for name in below):
                if not inner.is_symlink():
                    inner.chmod(stat.S_IRWXU)
        shutil.rmtree(doomed, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove what a process that ended in between left half-made or half-removed."""
    for entry in parent.iterdir():
        if entry.name.startswith((".new-", ".old-")):
            try:
                age = time.time() - entry.stat().st_mtime
            except FileNotFoundError:
                continue
            if age > _ABANDONED:
                remove_tree(entry)


def _copy_file(source: str, target: str) -> str:
    with Path(source).open("rb") as reader, Path(target).open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # not this system, or not between these file systems
            reader.seek(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer)
    shutil.copymode(source, target)
    return target
