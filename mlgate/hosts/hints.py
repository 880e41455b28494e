"""Runs that ended on this machine: their builds are looked at now, not at the next look."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mlgate.orchestration.runs import Attempt
from mlgate.orchestration.shift import Shift

log = logging.getLogger("mlgate")

FIRST_PAUSE = 0.05  # seconds, while somebody else is at the build; doubled each time
LONGEST_PAUSE = 2.0


class Hinted:
    """The builds that are to be looked at: each once, however often it was hinted at.

    A build is taken out before it is looked at: what is hinted at meanwhile is looked at again.
    Times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}  # the last one of each that was put off

    def add(self, key: str, now: float) -> None:
        """One that waits already, also because it was put off, is due no earlier for it."""
        self._due.setdefault(key, now)

    def take(self, now: float) -> str | None:
        """The one that has been due for longest, if any is."""
        key = min(self._due, key=self._due.__getitem__, default=None)
        if key is None or self._due[key] > now:
            return None
        del self._due[key]
        return key

    def done(self, key: str) -> None:
        """The look at it began after it was taken, and has ended."""
        self._pauses.pop(key, None)

    def put_off(self, key: str, now: float) -> None:
        """Somebody else is at it."""
        pause = self._pauses.get(key, FIRST_PAUSE / 2) * 2
        self._pauses[key] = min(pause, LONGEST_PAUSE)
        self._due[key] = now + self._pauses[key]

    def wait(self, now: float) -> float | None:
        """Seconds until one is due; None when there is none."""
        return max(0.0, min(self._due.values()) - now) if self._due else None


class Hints:
    """Hints from any thread, followed by one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hinted = Hinted()
        self._closed = False

    def ended(self, attempt: Attempt) -> None:
        self.look(attempt.build)

    def look(self, key: str) -> None:
        with self._changed:
            self._hinted.add(key, time.monotonic())
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def follow(self, hint: Callable[[str], bool], shift: Shift) -> None:
        """Have `hint` look at each hinted build until closed; false: somebody else is at it.

        A hint is lost without harm: the scheduled look comes all the same.
        """
        while (key := self._next()) is not None:
            with shift.work() as begins:
                looked = not begins or _looked(hint, key)
            with self._changed:
                if looked:
                    self._hinted.done(key)
                else:
                    self._hinted.put_off(key, time.monotonic())

    def _next(self) -> str | None:
        """The next build, waiting for it; None once closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if (key := self._hinted.take(now)) is not None:
                    return key
                self._changed.wait(self._hinted.wait(now))
        return None


def _looked(hint: Callable[[str], bool], key: str) -> bool:
    try:
        return hint(key)
    except Exception as error:  # noqa: BLE001 -- the scheduled look will meet it, too
        log.warning("a hinted look failed: %s", error)
        return True
