"""The files that a build leaves, in a blob container."""

from __future__ import annotations

import re
from mimetypes import MimeTypes
from pathlib import Path

from handlers.blobs.container import Container
from handlers.files_handler.paths import parts_of
from mlgate.orchestration.errors import Temporary

# Not the machine's own table: what a browser makes of a report must not depend on the host.
_TYPES = MimeTypes()
_TYPES.add_type("application/x-ipynb+json", ".ipynb")
# A backslash becomes a slash there, and a dot at the end of a part is lost
# (learn.microsoft.com, "Naming and referencing containers, blobs, and metadata").
_UNSTORABLE = re.compile(r"\\|\.(?=/|$)")


class BlobFiles:
    """`BuildFiles` as blobs named `<build>/<path>`; an upload is there once it is whole.

    A character that a blob's name cannot have is percent-encoded in it.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    def write(self, build: str, path: str, content: bytes) -> None:
        self._container.put(_name(build, path), content, _type_of(path))

    def copy(self, build: str, path: str, source: Path) -> None:
        name = _name(build, path)
        try:
            self._container.upload(name, source, _type_of(path))
        except OSError as error:
            raise Temporary(f"{source} cannot be read: {error.strerror}.") from error

    def read(self, build: str, path: str) -> bytes | None:
        found = self._container.read(_name(build, path))
        return None if found is None else found.content

    def list(self, build: str, folder: str = "") -> list[str]:
        below = _name(build, folder) if folder else build
        return [name.removeprefix(f"{build}/") for name in self._container.names(f"{below}/")]

    def location(self, build: str) -> str:
        return f"{self._container.url}/{build}"


def _name(build: str, path: str) -> str:
    name = "/".join((build, *parts_of(path)))
    return _UNSTORABLE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _type_of(path: str) -> str:
    found, encoding = _TYPES.guess_type(path)
    if found is None or encoding is not None:
        return "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
