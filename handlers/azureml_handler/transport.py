"""How requests leave for Azure ML: connections that are shared, writes in a pace, waits told.

The SDK's and our own clients retry by themselves and sleep through their transport, so this is
where the host's clock comes in, and where a wait that is too long to sit out ends.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.pipeline.transport import RequestsTransport

from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.ports import Clock

ARM = "https://management.azure.com"
LONGEST_WAIT = 20.0  # seconds; a longer one is left to a later look
# Azure Resource Manager has a bucket of 200 writes per identity and subscription, into which 10 a
# second come back (learn.microsoft.com, "Understand how Azure Resource Manager throttles
# requests"). Half of it is for the identity's other hosts.
WRITES_AT_ONCE = 100
WRITES_PER_SECOND = 5
_CONNECT_SECONDS = 10
_READ_SECONDS = 60


class Pace:
    """Lets `at_once` pass, and then `per_second`; safe for threads."""

    def __init__(self, clock: Clock, at_once: int, per_second: float) -> None:
        self._clock = clock
        self._gap = timedelta(seconds=1 / per_second)
        self._burst = at_once * self._gap
        self._next = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when one more may pass."""
        with self._lock:
            now = self._clock.now()
            # No further ahead than those who wait can be, should the clock be set back.
            self._next = min(max(self._next, now - self._burst), now + self._burst) + self._gap
            ahead = (self._next - now).total_seconds()
        if ahead > 0:
            self._clock.sleep(ahead)


class Transport(RequestsTransport):  # type: ignore[misc] # azure-core exports it untyped
    """One pool of connections for all clients of a workspace; safe for threads.

    Raises Temporary where the service, or a client's back-off, asks for a longer wait than
    `LONGEST_WAIT`.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(connection_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS)
        self._clock = clock
        self._writes = Pace(clock, WRITES_AT_ONCE, WRITES_PER_SECOND)

    def send(self, request: Any, **options: Any) -> Any:
        """As the base class, whose two kinds of requests differ in nothing that counts here."""
        if request.method != "GET" and request.url.startswith(ARM):
            self._writes.wait()
        return super().send(request, **options)

    def sleep(self, duration: float) -> None:
        if duration > LONGEST_WAIT:
            raise Temporary(f"Azure ML asks to wait for {duration:g} seconds.", duration)
        self._clock.sleep(duration)
