"""Where logs end, as far as one process knows: numbers are consecutive and never removed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mlgate.orchestration.durable import Head


class Heads:
    """The part of each model's log that no longer changes, up to a number. Safe for threads."""

    def __init__(self) -> None:
        self._known: dict[str, Head] = {}
        self._store = ""
        self._lock = threading.Lock()

    def of_store(self, store: str) -> None:
        """Forget everything when this is another store than before."""
        with self._lock:
            if store != self._store:
                self._store, self._known = store, {}

    def known(self, model: str) -> Head:
        with self._lock:
            return self._known.get(model, Head())

    def learn(self, model: str, head: Head) -> None:
        with self._lock:
            if head.taken > self._known.get(model, Head()).taken:
                self._known[model] = head


def last_taken(known: int, taken: Callable[[int], bool]) -> int:
    """The highest number that is taken; `known` is one that is taken, or 0.

    Calls `taken` once if `known` is the highest, else about twice the logarithm of how many came
    since.
    """
    if not taken(known + 1):
        return known
    low, step = known + 1, 1
    while taken(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return low
