"""How requests leave for Azure ML: connections that are shared, writes in a pace, waits kept.

The SDK's and our own clients retry by themselves and sleep through their transport, so this is
where the host's clock comes in, and where a wait that is too long to sit out ends. What the service
tells one thread to wait holds for all of them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport

from mlgate.orchestration.errors import Throttled
from mlgate.orchestration.ports import Clock

ARM = "https://management.azure.com"
LONGEST_WAIT = 20.0  # seconds; a longer one is left to a later look
# Azure Resource Manager has a bucket of 200 writes per identity and subscription, into which 10 a
# second come back (learn.microsoft.com, "Understand how Azure Resource Manager throttles
# requests"). Half of it is for the identity's other hosts.
WRITES_AT_ONCE = 100
WRITES_PER_SECOND = 5
_ASKS_TO_WAIT = (429, 503)
_LONGEST_ASKED = 3600.0  # seconds; no more is believed
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


class Waits:
    """How long the service asked to wait, by kind of request; safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: dict[tuple[str, bool], tuple[datetime, float]] = {}
        self._lock = threading.Lock()

    def ask(self, kind: tuple[str, bool], seconds: float) -> None:
        with self._lock:
            if seconds > self._left(kind):
                self._asked[kind] = self._clock.now() + timedelta(seconds=seconds), seconds

    def keep(self, kind: tuple[str, bool]) -> None:
        """Return when a request may be sent; Throttled when that is no time to sit out."""
        waited = 0.0
        while True:
            with self._lock:
                left = self._left(kind)
            if left <= 0:
                return
            if waited + left > LONGEST_WAIT:
                raise _throttled(left)
            self._clock.sleep(left)
            waited += left

    def _left(self, kind: tuple[str, bool]) -> float:
        now = self._clock.now()
        until, seconds = self._asked.get(kind, (now, 0.0))
        if until > now + timedelta(seconds=seconds):  # the clock was set back
            until = now + timedelta(seconds=seconds)
            self._asked[kind] = until, seconds
        return (until - now).total_seconds()


class Transport(RequestsTransport):  # type: ignore[misc] # azure-core exports it untyped
    """One pool of connections for all clients of a workspace; safe for threads.

    Raises Throttled where the service asks for a longer wait than `LONGEST_WAIT`.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(connection_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS)
        self._clock = clock
        self._writes = Pace(clock, WRITES_AT_ONCE, WRITES_PER_SECOND)
        self._waits = Waits(clock)

    def send(self, request: Any, **options: Any) -> Any:
        """As the base class, whose two kinds of requests differ in nothing that counts here."""
        # Azure Resource Manager counts reads apart from writes.
        kind = str(urlsplit(request.url).hostname), request.method == "GET"
        if request.method != "GET" and request.url.startswith(ARM):
            self._writes.wait()
        self._waits.keep(kind)
        response = super().send(request, **options)
        if response.status_code in _ASKS_TO_WAIT:
            self._waits.ask(kind, seconds_asked(response.headers))
        return response

    def sleep(self, duration: float) -> None:
        if duration > LONGEST_WAIT:
            raise _throttled(min(duration, _LONGEST_ASKED))
        self._clock.sleep(duration)


def seconds_asked(headers: Mapping[str, str]) -> float:
    """What an answer asks to wait, in its `Retry-After`; 0 for nothing."""
    told = headers.get("Retry-After", "")
    return min(float(told), _LONGEST_ASKED) if told.isdecimal() else 0.0


def _throttled(seconds: float) -> Throttled:
    return Throttled(f"Azure ML asks to wait for {math.ceil(seconds)} seconds.", seconds)
