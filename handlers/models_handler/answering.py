"""A place whose calls all return, whatever the file system below it does.

A file system whose server is gone blocks its callers, some of them for ever. So each call is made
in a thread of its own, which is abandoned when it makes no progress for too long. What the call did
by then, or does later, counts as a call whose answer was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from handlers.models_handler.place import Place
from mlgate.orchestration.errors import Temporary

THREAD = "mlgate-models"
LIMIT = 60.0  # seconds without progress
_MOST_HANGING = 8  # threads; more of them would only hang too
_DELAY = 30.0  # seconds
_LOOK = 0.25
T = TypeVar("T")


class Answering:
    """A `Place` on top of one whose calls may hang."""

    def __init__(self, place: Place, limit: float = LIMIT) -> None:
        self._place = place
        self._limit = limit
        self._hanging = list[threading.Thread]()
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return self._place.location

    def ready(self, *, writing: bool) -> str:
        return self._in_time(lambda _: self._place.ready(writing=writing))

    def init(self) -> None:
        self._in_time(lambda _: self._place.init())

    def create(self, name: str, content: bytes) -> bool:
        return self._in_time(lambda _: self._place.create(name, content))

    def write(self, name: str, parts: Iterable[bytes], *, over: bool) -> None:
        self._in_time(lambda progress: self._place.write(name, progress.through(parts), over=over))

    @contextmanager
    def opened(self, name: str) -> Iterator[Iterator[bytes] | None]:
        manager = self._place.opened(name)
        parts = self._in_time(lambda _: manager.__enter__())
        try:
            yield None if parts is None else self._each(parts)
        finally:
            self._in_time(lambda _: manager.__exit__(None, None, None))

    def age(self, name: str) -> timedelta | None:
        return self._in_time(lambda _: self._place.age(name))

    def folders(self) -> list[str]:
        return self._in_time(lambda _: self._place.folders())

    def sizes(self, folder: str) -> Mapping[str, int]:
        return self._in_time(lambda _: self._place.sizes(folder))

    def remove(self, folder: str) -> None:
        self._in_time(lambda _: self._place.remove(folder))

    def tidy(self) -> None:
        self._in_time(lambda _: self._place.tidy())

    def _each(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        while part := self._in_time(lambda _: next(parts, b"")):
            yield part

    def _in_time(self, act: Callable[[_Progress], T]) -> T:
        with self._lock:
            self._hanging = [each for each in self._hanging if each.is_alive()]
            if len(self._hanging) >= _MOST_HANGING:
                raise self._silent()
        progress, returned, raised = _Progress(), list[T](), list[BaseException]()

        def run() -> None:
            try:
                returned.append(act(progress))
            except BaseException as error:  # noqa: BLE001 -- raised again in the caller
                raised.append(error)

        thread = threading.Thread(target=run, name=THREAD, daemon=True)
        thread.start()
        thread.join(min(_LOOK, self._limit))
        while thread.is_alive() and not progress.ended_before(self._limit):
            thread.join(_LOOK)
        if thread.is_alive():
            with self._lock:
                self._hanging.append(thread)
            raise self._silent()
        if raised:
            raise raised[0]
        return returned[0]

    def _silent(self) -> Temporary:
        return Temporary(
            f"{self.location} does not answer: a call made no progress for {self._limit:g} s. "
            "Check that its share is mounted and its server is running.",
            _DELAY,
        )


class _Progress:
    """When a call last made progress; while others make what it writes, no time counts."""

    def __init__(self) -> None:
        self._at: float | None = time.monotonic()

    def through(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        self._at = None
        for part in parts:
            self._at = time.monotonic()
            yield part
            self._at = None
        self._at = time.monotonic()

    def ended_before(self, limit: float) -> bool:
        at = self._at
        return at is not None and time.monotonic() - at > limit
