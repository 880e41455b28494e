"""The signals that ask a command to end which waits for a build."""

from __future__ import annotations

import signal
import time


class Interrupts:
    """The signals that ask to end, from the moment that this is made.

    What comes within a second is one: a program that started this one may pass on the signal that
    the terminal gave to both.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _ONE = 1.0  # seconds

    def __init__(self) -> None:
        # Not an Event, whose lock a second signal would wait for inside the first one's handler.
        self._at: list[float] = []
        # What this process was started to ignore, by `nohup` say, it goes on ignoring.
        ignored = [each for each in self._NUMBERS if signal.getsignal(each) is signal.SIG_IGN]
        self._heeded = [each for each in self._NUMBERS if each not in ignored]
        for number in self._heeded:
            signal.signal(number, lambda *_: self._at.append(time.monotonic()))

    def __bool__(self) -> bool:
        return bool(self._at)

    @property
    def again(self) -> bool:
        return bool(self._at) and self._at[-1] > self._at[0] + self._ONE

    def let_through(self) -> None:
        """The next one ends this process, whatever it does."""
        for number in self._heeded:
            signal.signal(number, signal.SIG_DFL)
