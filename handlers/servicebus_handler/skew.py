"""Reports clocks that are wrong, as the messages show them.

A message that was received before it became visible proves that the receiver's clock is slow. One
that was sent after it became visible proves that the sender's clock is fast. So each message that
is sent without a pause says when it was sent, and by whom. Both differences are lower bounds.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

log = logging.getLogger("mlgate")

TOLERATED = timedelta(seconds=10)
REPORT_SECONDS = 600.0  # between two reports about one host
_MOST_HOSTS = 100  # whose last reports are remembered

HOST = socket.gethostname()
_SENDER = f"{HOST}/{uuid.uuid4().hex[:8]}"  # of this process
# Not among the nine names of a pipeline's properties.
_SENT_BY, _SENT_AT = "mlgate-sent-by", "mlgate-sent-at"
_KNOWN_SENDER = re.compile(r"([A-Za-z0-9._-]{1,255})/[0-9a-f]{8}")


def stamp(now: datetime) -> dict[str, str]:
    """The properties of a message that this process sends now, without a pause."""
    return {_SENT_BY: _SENDER, _SENT_AT: now.isoformat()}


def ahead(properties: Mapping[str, str], enqueued_at: datetime) -> tuple[str, timedelta] | None:
    """The sender's host, and how far its clock is ahead at least; None without a stamp.

    Anybody who may send to the queue can set properties: what is not a stamp is ignored.
    """
    sender = _KNOWN_SENDER.fullmatch(properties.get(_SENT_BY, ""))
    try:
        sent_at = datetime.fromisoformat(properties.get(_SENT_AT, ""))
        return None if sender is None else (sender[1], sent_at - enqueued_at)
    except (ValueError, TypeError, OverflowError):  # no time, or one without a zone
        return None


class Skews:
    """Reports each host's clock that is off by more than `TOLERATED`, once in ten minutes."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._lock = threading.Lock()
        self._reported: dict[str, float] = {}  # host: when

    def heard(self, properties: Mapping[str, str], enqueued_at: datetime, now: datetime) -> None:
        """Note a message that was received at `now`, by this host's clock."""
        if enqueued_at - now > TOLERATED:
            self._report(HOST, enqueued_at - now, "behind")
        sender = ahead(properties, enqueued_at)
        if sender is not None and sender[1] > TOLERATED:
            self._report(*sender, "ahead of")

    def _report(self, host: str, off: timedelta, where: str) -> None:
        now = self._steady()
        with self._lock:
            if now - self._reported.get(host, float("-inf")) < REPORT_SECONDS:
                return
            self._reported.pop(host, None)
            self._reported[host] = now
            while len(self._reported) > _MOST_HOSTS:
                del self._reported[next(iter(self._reported))]
        log.warning(
            "The clock of %s is at least %d s %s the queue's. Set it right, for example with NTP: "
            "the times and deadlines of builds that it handles are off by as much.",
            host,
            off.total_seconds(),
            where,
        )
