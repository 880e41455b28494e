"""Limits how often one waiting step is written to, so a large build stays below the rate limit.

Writes that can be batched are sent once a second. One more is held back for the end of the build,
so that the end doesn't have to wait. Each file needs a request of its own, so files may be sent in
a burst, which refills by one a second. Requests that a build sends only once have no kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto


class Kind(Enum):
    RECORD = auto()
    FEED = auto()
    LOG = auto()
    RESULTS_ADDED = auto()
    RESULTS_CHANGED = auto()
    STEP_FILE = auto()
    RESULT_FILE = auto()


FILES_AT_ONCE = 30
AT_THE_END = 1  # requests of a kind that are held back for the end of a build
SECOND = timedelta(seconds=1)
_AT_ONCE: Mapping[Kind, int] = {
    Kind.RECORD: 1 + AT_THE_END,
    Kind.FEED: 1 + AT_THE_END,
    Kind.LOG: 1 + AT_THE_END,
}
_OF_FILES = (Kind.STEP_FILE, Kind.RESULT_FILE)


@dataclass(slots=True)
class Pace:
    """The pace of one step."""

    files_at_once: int = FILES_AT_ONCE
    _spent_until: dict[Kind, datetime] = field(default_factory=dict)

    def wait(self, kind: Kind | None, now: datetime, requests: int = 1) -> float:
        """Seconds until `requests` more of the kind may be sent at once.

        Never more than a second for each, even if the clock was set back.
        """
        if kind is None:
            return 0.0
        most = self._at_once(kind)
        spent = self._spent_until.get(kind, now) - now
        if spent > most * SECOND:
            return 0.0
        over = spent - (most - min(requests, most)) * SECOND
        return max(0.0, over.total_seconds())

    def send(self, kind: Kind | None, now: datetime) -> None:
        """Count a request of the kind that is being sent now."""
        if kind is None:
            return
        spent_until = self._spent_until.get(kind, now)
        if not now < spent_until <= now + self._at_once(kind) * SECOND:
            spent_until = now
        self._spent_until[kind] = spent_until + SECOND

    def _at_once(self, kind: Kind) -> int:
        return self.files_at_once if kind in _OF_FILES else _AT_ONCE.get(kind, 1)
