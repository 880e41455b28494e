"""Looks at a build as soon as one of its runs ends on this machine, not only when a look is due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mlgate.orchestration.runs import Attempt
from mlgate.orchestration.shift import Shift

log = logging.getLogger("mlgate")

FIRST_PAUSE = 0.05  # seconds, while a build cannot be looked at; doubled each time
LONGEST_PAUSE = 2.0


class Hinted:
    """The builds to look at, each once, however many hints it got.

    A build is taken out before its look, so a hint during the look causes another one. Times are
    seconds of one clock.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}  # the last pause of each build that was put off

    def add(self, key: str, now: float) -> None:
        """Add a build. One that waits already, or was put off, does not become due earlier."""
        self._due.setdefault(key, now)

    def take(self, now: float) -> str | None:
        """The build that has been due for longest; None if none is due."""
        key = min(self._due, key=self._due.__getitem__, default=None)
        if key is None or self._due[key] > now:
            return None
        del self._due[key]
        return key

    def done(self, key: str) -> None:
        """The build was looked at after it was taken."""
        self._pauses.pop(key, None)

    def put_off(self, key: str, now: float) -> None:
        """Try the build again after a pause, because it cannot be looked at now."""
        pause = self._pauses.get(key, FIRST_PAUSE / 2) * 2
        self._pauses[key] = min(pause, LONGEST_PAUSE)
        self._due[key] = now + self._pauses[key]

    def wait(self, now: float) -> float | None:
        """Seconds until a build is due; None if there is none."""
        return max(0.0, min(self._due.values()) - now) if self._due else None


class Hints:
    """Hints given by any thread and followed by one."""

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
        """Call `hint` for each hinted build until closed; False means that it must be tried again.

        Losing a hint does no harm: the scheduled look comes anyway.
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
    except Exception as error:  # noqa: BLE001 -- the scheduled look will handle it
        log.warning("the early look at build %s failed: %s", key, error)
        return True
