"""The files of builds, in a blob container."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from mimetypes import MimeTypes
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from handlers.blobs.container import Container
from handlers.blobs.streams import read_streamed
from handlers.files_handler.paths import parts_of
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import READ_LIMIT

# Not the machine's own table: how a browser shows a report must not depend on the host.
_TYPES = MimeTypes()
_TYPES.add_type("application/x-ipynb+json", ".ipynb")
# Storage turns a backslash into a slash, and drops a dot at the end of a part
# (learn.microsoft.com, "Naming and referencing containers, blobs, and metadata").
_UNSTORABLE = re.compile(r"\\|\.(?=/|$)")


class BlobFiles:
    """`BuildFiles` as blobs named `<build>/<path>`; a blob appears once its upload is complete.

    Characters that a blob's name cannot have are percent-encoded.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        name = _name(build, path)
        if isinstance(content, bytes):
            self._container.put(name, content, _type_of(path))
            return
        with _scratch() as scratch:
            # Not translated: errors from making the parts are not the disk's.
            for part in content:
                with _disk():
                    scratch.write(part)
            with _disk():
                scratch.flush()
            self._upload(name, Path(scratch.name), path)

    def copy(self, build: str, path: str, source: Path) -> None:
        self._upload(_name(build, path), source, path)

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        found = self._container.read(_name(build, path), most)
        return None if found is None else found.content

    def parts(self, build: str, path: str) -> Iterator[bytes]:
        name = _name(build, path)
        content = read_streamed(self._container, name)
        if content is None:
            raise Permanent(f"The file {self._container.url}/{name} no longer exists.")
        yield from content

    def tail(self, build: str, path: str, most: int) -> bytes:
        return self._container.tail(_name(build, path), most)

    def list(self, build: str, folder: str = "") -> list[str]:
        below = _name(build, folder) if folder else build
        return [name.removeprefix(f"{build}/") for name in self._container.names(f"{below}/")]

    def location(self, build: str) -> str:
        return f"{self._container.url}/{build}"

    def _upload(self, name: str, source: Path, path: str) -> None:
        try:
            self._container.upload(name, source, _type_of(path))
        except OSError as error:
            raise Temporary(f"{source} cannot be read: {error.strerror}.") from error


@contextmanager
def _scratch() -> Iterator[IO[bytes]]:
    """A temporary file on this machine's disk: a second try must find the content again, which need
    not fit in memory."""
    with ExitStack() as closing:
        with _disk():
            file = NamedTemporaryFile(prefix="mlgate-")  # noqa: SIM115 -- closed below
        closing.callback(_close, file)
        yield file


def _close(file: IO[bytes]) -> None:
    # The file is uploaded, or something else failed before.
    with suppress(OSError):
        file.close()


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Temporary(
            f"This host cannot write a temporary file: {error.strerror}. Free some space, or set "
            "TMPDIR to another place.",
            delay=30,
        ) from error


def _name(build: str, path: str) -> str:
    name = "/".join((build, *parts_of(path)))
    return _UNSTORABLE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _type_of(path: str) -> str:
    found, encoding = _TYPES.guess_type(path)
    if found is None or encoding is not None:
        return "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
