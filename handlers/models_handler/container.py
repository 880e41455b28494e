"""A model store in a blob container."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from urllib.parse import quote, unquote

from handlers.blobs import streams
from handlers.blobs.container import Container
from handlers.models_handler.layout import MARK, new_mark, store_of

# What a blob's name cannot have: a dot at the end of a part is dropped, a control character
# breaks listings (learn.microsoft.com, "Naming and referencing containers, blobs, and metadata").
_UNSTORABLE = re.compile(r"[%\x00-\x1f\x7f\ufffe\uffff]|\.(?=/|$)")


class InContainer:
    """A `Place`. Safe for threads and hosts. What names cannot have is percent-encoded."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._marked = False

    @property
    def location(self) -> str:
        return self._container.url

    def ready(self, *, writing: bool) -> str:
        """A container cannot be mistaken for another one, so the mark is only there for people, and
        to stop versions of mlgate that use another format."""
        if writing and not self._marked:
            self.init()
        return self.location

    def init(self) -> None:
        found = self._container.read(MARK)
        if found is None:
            self._container.create(MARK, new_mark())
        else:
            store_of(found.content, f"{self.location}/{MARK}")
        self._marked = True

    def create(self, name: str, content: bytes) -> bool:
        return self._container.create(_stored(name), content) is not None

    def write(self, name: str, parts: Iterable[bytes], *, over: bool) -> None:
        streams.write_streamed(self._container, _stored(name), parts, over=over)

    def opened(self, name: str) -> AbstractContextManager[Iterator[bytes] | None]:
        return nullcontext(streams.read_streamed(self._container, _stored(name)))

    def age(self, name: str) -> timedelta | None:
        found = self._container.last_write(_stored(name))
        return None if found is None else found[1]

    def folders(self) -> list[str]:
        return streams.folders(self._container)

    def sizes(self, folder: str) -> Mapping[str, int]:
        found = streams.sizes(self._container, folder)
        return {unquote(name): size for name, size in found.items()}

    def remove(self, folder: str) -> None:
        for name in streams.sizes(self._container, folder):
            self._container.delete(f"{folder}/{name}")

    def tidy(self) -> None:
        """Does nothing: storage drops pieces of blobs that were never committed after a week."""


def _stored(name: str) -> str:
    return _UNSTORABLE.sub(lambda found: "%2E" if found[0] == "." else quote(found[0]), name)
