"""A model's files: listed, copied and hashed.

Only regular files are allowed. A link could lead to any file on the machine, and to a different one
by the time the model is served.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlgate.scorer.errors import Unusable

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Part:
    """A file of a model: `path` is relative to the model's folder, `size` is in bytes."""

    path: str
    size: int
    sha256: str


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """The regular files below a folder, and everything else that is not a folder; both sorted."""
    files, others = [], []
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                files.append(path.relative_to(folder).as_posix())
            elif not stat.S_ISDIR(mode):
                others.append(path.relative_to(folder).as_posix())
    return sorted(files), sorted(others)


def copied(source: Path, names: Iterable[str], target: Path) -> list[Part]:
    """Copy files to the folder `target`, reading each once.

    Raises Unusable for a link, and for a name that some stores cannot keep.
    """
    parts = []
    for name in names:
        if not name.isprintable() or "\\" in name:
            raise Unusable(f"a model's file cannot be called {name!a}: rename it")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with _opened(source / name) as read, (target / name).open("xb") as written:
            parts.append(_part(name, _chunks(read, written)))
    return parts


def hashed(folder: Path) -> list[Part]:
    """All files of a folder. Raises Unusable if it contains anything else."""
    names, others = listed(folder)
    if others:
        raise Unusable(f"{others[0]} is not a file")
    parts = []
    for name in names:
        with _opened(folder / name) as read:
            parts.append(_part(name, _chunks(read)))
    return parts


def read_bounded(path: Path, most: int) -> bytes | None:
    """A file's content; None if it is larger than `most` bytes. Raises OSError and Unusable."""
    with _opened(path) as read:
        content = read.read(most + 1)
    return content if len(content) <= most else None


def _opened(path: Path) -> BinaryIO:
    """Open a regular file, but no link, and no pipe, which might never end."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        if path.is_symlink():
            raise Unusable(f"{path.name} is a link: a model may only have files") from None
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Unusable(f"{path.name} is not a file")
    return os.fdopen(number, "rb")


def _chunks(read: BinaryIO, written: BinaryIO | None = None) -> Iterator[bytes]:
    while chunk := read.read(_CHUNK):
        if written is not None:
            written.write(chunk)
        yield chunk


def _part(name: str, chunks: Iterable[bytes]) -> Part:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return Part(name, size, digest.hexdigest())
