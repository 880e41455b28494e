"""The broker's clock, as far as the messages that arrive show it.

The broker takes the time at which a scheduled message becomes visible, by its own clock; this
host's may be minutes off. A received message says when it became visible, and it was received no
earlier, so it shows the least that the broker's clock says now. The greatest of these is used.

While every message waits in a backlog, the estimate is behind by the shortest of those waits.
Then a pause ends that much earlier, which is harmless: its message waits in the same backlog.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from mlgate.orchestration.ports import Clock

WINDOW_SECONDS = 600.0  # what was received earlier counts only while nothing came since
_GRAIN_SECONDS = 1.0  # of those received within so long, the one that shows most is kept


class BrokerTime:
    """`steady` counts seconds and is never set; between two messages it goes on for the broker.

    So it does not matter when this host's clock is set meanwhile. That clock is used until the
    first message was received.
    """

    def __init__(self, clock: Clock, steady: Callable[[], float]) -> None:
        self._clock = clock
        self._steady = steady
        self._lock = threading.Lock()
        # (when, by `steady`; what the broker's clock showed at zero of `steady`), falling
        self._shown: deque[tuple[float, datetime]] = deque()

    def heard(self, enqueued_at: datetime) -> None:
        """A message was received that became visible at that time by the broker's clock."""
        now = self._steady()
        zero = enqueued_at - timedelta(seconds=now)
        with self._lock:
            while self._shown and self._shown[-1][1] <= zero:
                self._shown.pop()
            if not self._shown or now - self._shown[-1][0] >= _GRAIN_SECONDS:
                self._shown.append((now, zero))
            self._forget(now)

    def now(self) -> datetime:
        """The broker's time: no later than it is, once a message was received."""
        now = self._steady()
        with self._lock:
            self._forget(now)
            if not self._shown:
                return self._clock.now()
            return self._shown[0][1] + timedelta(seconds=now)

    def _forget(self, now: float) -> None:
        while len(self._shown) > 1 and now - self._shown[0][0] > WINDOW_SECONDS:
            self._shown.popleft()
