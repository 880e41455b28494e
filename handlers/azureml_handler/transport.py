"""Sends requests to Azure ML: shared connections, paced writes, and the waits it asks for.

The SDK's and our own clients retry by themselves and sleep through their transport. So the host's
clock is used here, and a wait that is too long ends here. A wait that the service asks of one
thread applies to all of them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport

from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Throttled

ARM = "https://management.azure.com"
LONGEST_WAIT = 20.0  # seconds; a longer one is left to a later look
# Azure Resource Manager allows 200 writes at once per identity and subscription, and 10 more each
# second (learn.microsoft.com, "Understand how Azure Resource Manager throttles requests"). Half of
# that is left to the identity's other hosts.
WRITES_AT_ONCE = 100
WRITES_PER_SECOND = 5
_ASKS_TO_WAIT = (429, 503)
_LONGEST_ASKED = 3600.0  # seconds; a longer one is cut to this
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
            # Never further ahead than the longest wait, in case the clock is set back.
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
        """Return when a request may be sent; raises Throttled when that takes too long."""
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
        """As in the base class; its two kinds of requests make no difference here."""
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
    """The wait that an answer asks for in its `Retry-After`; 0 if it asks for none."""
    asked = headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_ASKED) if asked.isdecimal() else 0.0


def _throttled(seconds: float) -> Throttled:
    return Throttled(f"Azure ML asks to wait for {math.ceil(seconds)} seconds.", seconds)
