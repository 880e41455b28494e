"""The signals that end a command while it waits for a build."""

from __future__ import annotations

import signal
import time


class Interrupts:
    """Catches the signals that ask this process to end, as soon as it is created.

    Signals within one second count as one: the terminal sends Ctrl-C to this process and its
    parent, and the parent may pass it on.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _ONE = 1.0  # seconds

    def __init__(self) -> None:
        # Not an Event: a second signal during the first one's handler would deadlock on its lock.
        self._at: list[float] = []
        # SIGHUP stays ignored under `nohup`. SIGINT does not: a script's shell ignores it for each
        # background job, whose runs would go on after Ctrl-C.
        stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._heeded = [each for each in self._NUMBERS if not (stays and each == signal.SIGHUP)]
        for number in self._heeded:
            signal.signal(number, lambda *_: self._at.append(time.monotonic()))

    def __bool__(self) -> bool:
        return bool(self._at)

    @property
    def again(self) -> bool:
        return bool(self._at) and self._at[-1] > self._at[0] + self._ONE

    def let_through(self) -> None:
        """Let the next signal end this process at once."""
        for number in self._heeded:
            signal.signal(number, signal.SIG_DFL)
