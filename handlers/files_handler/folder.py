"""The files that a build leaves, in folders on this machine."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.files_handler.paths import parts_of
from mlgate.orchestration.errors import Permanent, Temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


class FolderFiles:
    """`BuildFiles` in folders; `folder` gives a build's own from its key.

    Raises `Temporary` when the disk is full or cannot be written to: an operator can mend that,
    and the build goes on. `Permanent` when a build's folder is there and no file in it can have
    that name, for one, since others are in a folder of that name.
    """

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self._folder = folder

    def write(self, build: str, path: str, content: bytes) -> None:
        with self._replacing(build, path) as scratch:
            scratch.write_bytes(content)

    def copy(self, build: str, path: str, source: Path) -> None:
        with self._replacing(build, path) as scratch:
            shutil.copyfile(source, scratch)

    def read(self, build: str, path: str) -> bytes | None:
        try:
            return self._place(build, path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def list(self, build: str, folder: str = "") -> list[str]:
        root = self._folder(build)
        below = self._place(build, folder) if folder else root
        paths = (path for path in below.rglob("*") if path.is_file())
        return sorted(path.relative_to(root).as_posix() for path in paths)

    def location(self, build: str) -> str:
        return str(self._folder(build))

    def _place(self, build: str, path: str) -> Path:
        return self._folder(build).joinpath(*parts_of(path))

    @contextmanager
    def _replacing(self, build: str, path: str) -> Iterator[Path]:
        """A scratch file that takes the place of `path` at once when the block ends well."""
        place = self._place(build, path)
        scratch = place.with_name(f".{uuid.uuid4().hex}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            yield scratch
            scratch.replace(place)
        except OSError as error:
            with suppress(OSError):
                scratch.unlink()
            if error.errno in _NO_NAME and self._folder(build).is_dir():
                raise Permanent(
                    f"No file of a build can have the name {path[:200]!a}: {error.strerror}."
                ) from error
            raise Temporary(
                f"{place} cannot be written: {error.strerror}. Free some space, or set "
                "MLGATE_BUILDS to another place.",
                delay=30,
            ) from error
