"""An estimate of the broker's clock, from the messages that arrive.

The broker's own clock decides when a scheduled message becomes visible; this host's clock may be
minutes off. A received message says when it became visible, and the broker's clock shows at least
that time now. The latest of these times is used.

While every message waits in a backlog, the estimate is behind by the shortest of those waits.
Then a pause ends that much earlier, which is harmless: its message waits in the same backlog.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from mlgate.orchestration.clock import Clock

WINDOW_SECONDS = 600.0  # an older message counts only while none came since
_GRAIN_SECONDS = 1.0  # of the messages of so long, the one with the latest time is kept


class BrokerTime:
    """`steady` counts seconds and is never set; it measures the time since a message was received.

    So it does not matter when this host's clock is set meanwhile. That clock is used until the
    first message is received.
    """

    def __init__(self, clock: Clock, steady: Callable[[], float]) -> None:
        self._clock = clock
        self._steady = steady
        self._lock = threading.Lock()
        # (when, by `steady`; the broker's time when `steady` was 0), the latest time first
        self._shown: deque[tuple[float, datetime]] = deque()

    def heard(self, enqueued_at: datetime) -> None:
        """Note a message that was received now; `enqueued_at` is when it became visible."""
        now = self._steady()
        zero = enqueued_at - timedelta(seconds=now)
        with self._lock:
            while self._shown and self._shown[-1][1] <= zero:
                self._shown.pop()
            if not self._shown or now - self._shown[-1][0] >= _GRAIN_SECONDS:
                self._shown.append((now, zero))
            self._forget(now)

    def now(self) -> datetime:
        """The broker's time; once a message was received, never later than the true one."""
        now = self._steady()
        with self._lock:
            self._forget(now)
            if not self._shown:
                return self._clock.now()
            return self._shown[0][1] + timedelta(seconds=now)

    def _forget(self, now: float) -> None:
        while len(self._shown) > 1 and now - self._shown[0][0] > WINDOW_SECONDS:
            self._shown.popleft()
