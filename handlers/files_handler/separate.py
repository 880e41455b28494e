"""The files of one build apart from those of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from mlgate.orchestration.ports import READ_LIMIT, BuildFiles


class SeparateFiles:
    """`BuildFiles` that has those of the build `key` in `own`, and others where `others` says.

    `others` is called when a file of another build is first asked for.
    """

    def __init__(self, key: str, own: BuildFiles, others: Callable[[], BuildFiles]) -> None:
        self._key = key
        self._own = own
        self._others = cache(others)

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        self._of(build).write(build, path, content)

    def copy(self, build: str, path: str, source: Path) -> None:
        self._of(build).copy(build, path, source)

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        return self._of(build).read(build, path, most)

    def parts(self, build: str, path: str) -> Iterator[bytes]:
        return self._of(build).parts(build, path)

    def tail(self, build: str, path: str, most: int) -> bytes:
        return self._of(build).tail(build, path, most)

    def list(self, build: str, folder: str = "") -> list[str]:
        return self._of(build).list(build, folder)

    def location(self, build: str) -> str:
        return self._of(build).location(build)

    def _of(self, build: str) -> BuildFiles:
        return self._own if build == self._key else self._others()
