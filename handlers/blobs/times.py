"""Times by the storage's clock, and how far this host's clock differs from it.

Each answer says when it was given, to a second. So the age of a blob is known without any host's
clock. Each answer also bounds how far this host's clock differs: it was given after the request was
sent and before the answer arrived.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from mlgate.orchestration.clock import Clock

_EXACT = timedelta(seconds=1)  # the storage's times are rounded down to this
_QUICK = timedelta(seconds=5)  # a slower answer is not exact enough


class ServiceTimes:
    """Sees each request and each answer of a client. Safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._here = threading.local()
        self._lock = threading.Lock()
        self._ahead: tuple[timedelta, timedelta] | None = None  # between these

    def hooks(self) -> dict[str, Any]:
        """Keyword arguments for a client of `azure-storage-blob`."""
        return {"raw_request_hook": self._sending, "raw_response_hook": self._answered}

    def age(self, written: datetime) -> timedelta:
        """The age of what this thread's last answer shows: exact to a second, never negative."""
        given: datetime | None = getattr(self._here, "given", None)
        return max(given - written, timedelta(0)) if given is not None else timedelta(0)

    def skew(self) -> timedelta | None:
        """How far this host's clock is ahead, to a second; None while unknown."""
        with self._lock:
            return None if self._ahead is None else sum(self._ahead, timedelta(0)) / 2

    def _sending(self, _: object) -> None:
        self._here.sent = self._clock.now()

    def _answered(self, response: Any) -> None:
        received = self._clock.now()
        given = _date_of(response.http_response.headers)
        self._here.given = given
        if given is None or not timedelta(0) <= received - self._here.sent <= _QUICK:
            return
        least, most = self._here.sent - given - _EXACT, received - given
        with self._lock:
            if self._ahead is not None and least <= self._ahead[1] and most >= self._ahead[0]:
                least, most = max(least, self._ahead[0]), min(most, self._ahead[1])
            # If the bounds exclude each other, a clock was set meanwhile.
            self._ahead = least, most


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    """When the storage gave an answer; None if it is a proxy's."""
    if not headers.get("x-ms-request-id"):
        return None
    try:
        return parsedate_to_datetime(headers.get("Date", "")).astimezone(UTC)
    except (TypeError, ValueError):
        return None
