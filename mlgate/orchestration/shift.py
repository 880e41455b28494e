"""Work until asked to stop, and then leave with nothing half-done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Shift:
    """Lets pieces of work begin until it is over, and waits for those that have begun.

    It waits for the work, not for the threads that do it: between two pieces a thread may hang in
    somebody else's call, and holds nothing then.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._over = False
        self._at_hand = 0

    @property
    def over(self) -> bool:
        return self._over

    @contextmanager
    def work(self) -> Iterator[bool]:
        """Yield whether the piece of work may begin; it is under way until the block ends."""
        with self._changed:
            begins = not self._over
            self._at_hand += begins
        try:
            yield begins
        finally:
            with self._changed:
                self._at_hand -= begins
                self._changed.notify_all()

    def end(self) -> None:
        """Let nothing more begin."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def finish(self) -> None:
        """End, and wait until nothing is under way, however long that takes."""
        self.end()
        with self._changed:
            self._changed.wait_for(lambda: not self._at_hand)

    def pause(self, seconds: float) -> bool:
        """Wait so long, or until it is over; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over, seconds)
