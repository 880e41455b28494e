"""Where a store lies: what its algorithm needs of a folder or a container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol


class Place(Protocol):
    """Files by names relative to the store, with `/`. Safe for threads and hosts.

    Nothing is changed once it is there, but by `write` with `over`, and by `remove`. Each function
    raises `Temporary` where the place does not answer or is full, `UnfitHost` where a right is
    missing, and `Permanent` for what it never takes.
    """

    @property
    def location(self) -> str:
        """Of the store, for people; without a signature."""
        ...

    def ready(self, *, writing: bool) -> str:
        """Which store it is; comes before all else, each time.

        The mark is made where that needs nobody's word and something is to be written. Raises
        `UnfitHost` where there is no store.
        """
        ...

    def init(self) -> None:
        """Make the mark, unless it is there."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """False when there is something of that name: it stays as it is. What is small and has a
        writer of its own; a reader may find it torn while it is written."""
        ...

    def write(self, name: str, parts: Iterable[bytes], *, over: bool) -> None:
        """The file is there once `parts` have come to their end, and whole; nothing is there when
        they raise. What is there already stays, unless `over`. For what has one content only,
        whoever writes it."""
        ...

    def opened(self, name: str) -> AbstractContextManager[Iterator[bytes] | None]:
        """The content, bit by bit; None when nothing is there. What is there and is no file (a link
        is none) has no content."""
        ...

    def age(self, name: str) -> timedelta | None:
        """Since it was written, by the place's own clock; None where that cannot be known."""
        ...

    def folders(self) -> list[str]:
        """The names of the folders of the store."""
        ...

    def sizes(self, folder: str) -> Mapping[str, int]:
        """All files below the folder, by their paths in it, in bytes."""
        ...

    def remove(self, folder: str) -> None:
        """All that is below the folder; nothing when it is not there."""
        ...

    def tidy(self) -> None:
        """Remove what killed processes left unfinished more than a day ago."""
        ...
