"""Where a store is: what its algorithm needs from a folder or a container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol


class Place(Protocol):
    """Files by names relative to the store, with `/`. Safe for threads and hosts.

    Nothing that exists is changed, except by `write` with `over`, and by `remove`. Each function
    raises `Temporary` when the place does not answer or is full, `UnfitHost` when a right is
    missing, and `Permanent` for what the place can never store.
    """

    @property
    def location(self) -> str:
        """Where the store is, as shown to people; without a signature."""
        ...

    def ready(self, *, writing: bool) -> str:
        """Which store it is; called first, each time.

        With `writing`, creates the mark if the place may do so by itself. Raises `UnfitHost` if
        there is no store.
        """
        ...

    def init(self) -> None:
        """Create the mark, unless it exists."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Create a small file whose content is one writer's own; false when the name is taken, and
        then nothing changes. A reader may find the file torn while it is written."""
        ...

    def write(self, name: str, parts: Iterable[bytes], *, over: bool) -> None:
        """Write a file whose content is the same for every writer. It appears, complete, once
        `parts` have ended, and not when they raise. An existing file stays, unless `over`."""
        ...

    def opened(self, name: str) -> AbstractContextManager[Iterator[bytes] | None]:
        """The content, in parts; None when nothing is there. What is not a file, such as a link,
        has no content."""
        ...

    def age(self, name: str) -> timedelta | None:
        """The time since the file was written, by the place's own clock; None if unknown."""
        ...

    def folders(self) -> list[str]:
        """The names of the store's top folders."""
        ...

    def sizes(self, folder: str) -> Mapping[str, int]:
        """The sizes in bytes of all files below the folder, by their paths in it."""
        ...

    def remove(self, folder: str) -> None:
        """Remove all that is below the folder, if it exists."""
        ...

    def tidy(self) -> None:
        """Remove what killed processes left unfinished more than a day ago."""
        ...
