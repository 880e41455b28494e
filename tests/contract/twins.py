"""What a backend is given in tests: a commit made of files, and a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class FolderCheckout:
    """A clean tree, as the repository port would yield it."""

    commit: str
    folder: Path
    warnings: tuple[str, ...] = ()

    def files(self) -> Sequence[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def read(self, path: str) -> bytes:
        if path not in self.files():
            raise KeyError(path)
        return (self.folder / path).read_bytes()


class MovableClock:
    """The real time plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
