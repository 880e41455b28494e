"""Copies and removes folders, each in one step for those who look.

Copies are private: two trees never share a file, because runs write to theirs. If the file system
can share blocks until one side is written (Btrfs, XFS), copy_file_range(2) does so.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import stat
import struct
import sys
import time
from contextlib import suppress
from importlib.machinery import all_suffixes
from pathlib import Path

_ABANDONED = 24 * 3600.0  # seconds after which a half-made or half-removed tree is left for good
_LONG = 2000  # characters of a path, of which there may be 4,095
# From <linux/fs.h>: _IOR('f', 1, long), _IOW('f', 2, long), and a flag.
_LONG_INTEGER = struct.calcsize("l")
_GETFLAGS = 2 << 30 | _LONG_INTEGER << 16 | ord("f") << 8 | 1
_SETFLAGS = 1 << 30 | _LONG_INTEGER << 16 | ord("f") << 8 | 2
_TOPDIR_FL = 0x20000


def copy_tree(source: Path, target: Path) -> None:
    """Copy regular files and folders with their permissions; `target` must not exist."""
    shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)


def spread(folder: Path) -> None:
    """Have each folder that will be made in this one be placed apart from the others, on ext4.

    Files made in one place take the first inode there that is free and was not removed in the last
    minutes (`recently_deleted` in the kernel's fs/ext4/ialloc.c). Where runs have come and gone,
    thousands are passed over for each file, and copying a tree takes ten times as long. The flag is
    that of `chattr +T`; file systems that don't have it refuse it.
    """
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = fcntl.ioctl(opened, _GETFLAGS, bytes(_LONG_INTEGER))
            flags = int.from_bytes(found, sys.byteorder) | _TOPDIR_FL
            fcntl.ioctl(opened, _SETFLAGS, flags.to_bytes(_LONG_INTEGER, sys.byteorder))
        finally:
            os.close(opened)


def new_name(target: Path) -> Path:
    """A temporary name beside `target`; `sweep` removes what is left under such names."""
    return target.with_name(f".new-{os.urandom(6).hex()}")


def appear(made: Path, target: Path) -> bool:
    """Rename `made` to `target`; false, with `made` removed, if another process was quicker."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
        remove_tree(made)
        return False
    return True


def protect(folder: Path) -> None:
    """Write-protect a folder and everything below it; root can still write."""
    for directory, _, names in os.walk(folder, topdown=False):
        for path in (*(Path(directory, name) for name in names), Path(directory)):
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


def remove_tree(folder: Path) -> None:
    """Remove a folder, write-protected parts included; it vanishes in one step."""
    doomed = folder.with_name(f".old-{os.urandom(6).hex()}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    _remove(doomed)


def _remove(doomed: Path) -> None:
    """Remove a folder of any depth: one that has a long path is first moved beside `doomed`.

    A run can nest folders deeper than a path can name or Python's stack can follow. What cannot be
    removed now is left to `sweep`.
    """
    waiting, count = [(str(doomed), False)], itertools.count()
    while waiting:
        folder, emptied = waiting.pop()
        with suppress(OSError):
            if emptied:
                os.rmdir(folder)  # noqa: PTH106 -- no Path for each of many
                continue
            _permit(folder)
            waiting.append((folder, True))
            for entry in list(os.scandir(folder)):
                with suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)  # noqa: PTH108 -- likewise
                        continue
                    path = entry.path
                    if len(path) > _LONG:
                        _permit(path)
                        path = str(doomed.with_name(f"{doomed.name}-{next(count)}"))
                        os.rename(entry.path, path)  # noqa: PTH104 -- likewise
                    waiting.append((path, False))


def _permit(folder: str) -> None:
    """Allow the owner everything in a folder."""
    if stat.S_IMODE(os.stat(folder).st_mode) & stat.S_IRWXU != stat.S_IRWXU:  # noqa: PTH116 -- likewise
        os.chmod(folder, stat.S_IRWXU)  # noqa: PTH101 -- likewise


def sweep(parent: Path) -> None:
    """Remove what processes left half-made or half-removed when they died."""
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


def modules_in(directory: Path) -> set[str]:
    """The modules and packages that Python can import from a directory. Raises OSError."""
    found: set[str] = set()
    suffixes = all_suffixes()
    for entry in os.scandir(directory):
        found.update(
            entry.name.removesuffix(each) for each in suffixes if entry.name.endswith(each)
        )
        if entry.is_dir() and os.path.exists(f"{entry.path}/__init__.py"):  # noqa: PTH110 -- no Path for each
            found.add(entry.name)
    return found
