"""The files of builds, in folders on this machine."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from handlers.files_handler.faults import gone, no_such_name, translated
from handlers.files_handler.paths import parts_of
from mlgate.orchestration.ports import READ_LIMIT

_PART = 1 << 20  # bytes
SCRATCH = ".mlgate-"  # what the names of incomplete files begin with


class FolderFiles:
    """`BuildFiles` in folders; `folder` returns a build's folder for its key.

    `claim` is called with each file's place before it is written, and may raise `Permanent`.

    Raises `Temporary` when the disk is full or does not work: the build goes on, and an operator
    can repair it. Raises `UnfitHost` when this host lacks a right, and `Permanent` when no file in
    the build's folder can have that name, for example because a folder has it.
    """

    def __init__(
        self, folder: Callable[[str], Path], claim: Callable[[Path], None] = lambda _: None
    ) -> None:
        self._folder = folder
        self._claim = claim

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        folder = self._folder(build)
        with self._replacing(folder, path) as scratch:
            with translated(folder, path, "written"):
                file = scratch.open("wb")
            try:
                for part in (content,) if isinstance(content, bytes) else content:
                    with translated(folder, path, "written"):
                        file.write(part)
                with translated(folder, path, "written"):
                    file.close()
            finally:
                # The file is closed already, or something else failed.
                with suppress(OSError):
                    file.close()

    def copy(self, build: str, path: str, source: Path) -> None:
        folder = self._folder(build)
        with self._replacing(folder, path) as scratch, translated(folder, path, "written"):
            try:
                os.link(source, scratch)  # its run has ended, so nobody writes to it
            except OSError:
                shutil.copyfile(source, scratch)

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        with self._opened(build, path) as file:
            if file is None or os.fstat(file.fileno()).st_size > most:
                return None
            content = file.read(most + 1)
            return content if len(content) <= most else None

    def parts(self, build: str, path: str) -> Iterator[bytes]:
        with self._opened(build, path) as file:
            if file is None:
                raise gone(self._folder(build), path)
            while part := file.read(_PART):
                yield part

    def tail(self, build: str, path: str, most: int) -> bytes:
        with self._opened(build, path) as file:
            if file is None:
                return b""
            file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            return file.read(most)

    def list(self, build: str, folder: str = "") -> list[str]:
        root = self._folder(build)
        below = root.joinpath(*parts_of(folder)) if folder else root
        with translated(root, folder, "read"):
            return sorted(path.relative_to(root).as_posix() for path in _files_below(below))

    def location(self, build: str) -> str:
        return str(self._folder(build))

    @contextmanager
    def _opened(self, build: str, path: str) -> Iterator[BinaryIO | None]:
        """The file, or None when there is none."""
        folder = self._folder(build)
        place = folder.joinpath(*parts_of(path))
        with translated(folder, path, "read"):
            try:
                file = place.open("rb")
            except (OSError, ValueError) as error:
                if not no_such_name(error):
                    raise
                yield None
                return
            with file:
                yield file

    @contextmanager
    def _replacing(self, folder: Path, path: str) -> Iterator[Path]:
        """A scratch file that replaces `path` in one step when the block succeeds."""
        place = folder.joinpath(*parts_of(path))
        scratch = place.with_name(f"{SCRATCH}{uuid.uuid4().hex}")
        try:
            with translated(folder, path, "written"):
                self._claim(place)
                place.parent.mkdir(parents=True, exist_ok=True)
            yield scratch
            with translated(folder, path, "written"):
                scratch.replace(place)
        except BaseException:
            with suppress(OSError, ValueError):
                scratch.unlink()
            raise


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files, and links to them; nothing if the folder is missing."""

    def fail(error: OSError) -> None:
        if not no_such_name(error):
            raise error

    for parent, _, names in os.walk(folder, onerror=fail):
        for name in names:
            path = Path(parent, name)
            if not name.startswith(SCRATCH) and path.is_file():
                yield path
