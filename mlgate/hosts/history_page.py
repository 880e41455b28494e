"""The history page: built from the state, and kept up to date in the builds' container.

The builds' records are stored beside the page, so a refresh reads only builds that have ended since
the last one. Hosts update the records by compare-and-swap. The page ends with the hash of the
records it was drawn from, so any host can see that it is out of date. All of this is best effort:
no verdict waits for it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from handlers.blobs.address import ContainerAddress
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_container
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import StatePort
from mlgate.orchestration.verdict.files import PAGE
from mlgate.orchestration.verdict.history.page import history_html
from mlgate.orchestration.verdict.history.records import (
    MOST,
    Record,
    newest,
    packed,
    record_of,
    unpacked,
)

if TYPE_CHECKING:
    from handlers.blobs.container import Blob, Container

log = logging.getLogger("mlgate")

NAME, KNOWN = "index.html", "history.json.gz"
EVERY = timedelta(minutes=5)
AT_ONCE = 200  # builds read by one refresh, readable or not; the next one continues
LONGEST = timedelta(seconds=20)  # for reading builds in one refresh
_PATIENCE = 30.0  # seconds that a sweeper waits for a refresh
_HTML, _GZIP = "text/html; charset=utf-8", "application/gzip"
_LARGEST = 64 << 20  # bytes


def records_in(state: StatePort) -> list[Record]:
    """Records of the newest builds that have ended, newest first."""
    found = (record_of(build) for _, build in state.history(MOST) if build is not None)
    return newest(record for record in found if record is not None)


class HistoryPage:
    """Keeps `index.html` in the builds' container up to date, beside any number of other hosts."""

    def __init__(self, state: StatePort, container: Container, clock: Clock) -> None:
        self._state = state
        self._container = container
        self._clock = clock
        self._records: list[Record] | None = None  # those on the page, once that is known
        self._unreadable: set[str] = set()  # keys of builds that give no record here
        self._last: datetime | None = None

    def refresh(self) -> None:
        """Add the builds that have ended since; does nothing within `EVERY` of the last refresh.

        Raises nothing: errors are logged, and the next refresh tries again.
        """
        now = self._clock.now()
        if self._last is not None and abs(now - self._last) < EVERY:
            return
        self._last = now
        try:
            self._refresh()
        except Exception as error:  # noqa: BLE001 -- a page must not end a handler
            log.warning("the history page %s could not be updated: %s", NAME, error)

    def _refresh(self) -> None:
        if self._records is not None and not self._any(self._records):
            return
        # Read before the records, so that a newer page of another host is not replaced.
        page = self._container.read(NAME, _LARGEST)
        found = self._container.read(KNOWN, _LARGEST)
        before = [] if found is None else unpacked(found.content)
        records = newest([*before, *self._new(before)])
        if not records:
            self._records = records
            return
        self._records = None  # if another host writes first, the next refresh reads its records
        content = packed(records) if found is None or records != before else found.content
        if (found is None or content != found.content) and not self._put(
            KNOWN, content, found, _GZIP
        ):
            return
        mark = _mark(content)
        if page is None or not page.content.endswith(mark):
            drawn = history_html(records, report_beside, self._clock.now())
            if not self._put(NAME, drawn + mark, page, _HTML):
                return
        self._records = records

    def _put(self, name: str, content: bytes, before: Blob | None, media_type: str) -> bool:
        """Write the blob; False if it has changed since `before`."""
        if before is None:
            return self._container.create(name, content, media_type) is not None
        return self._container.replace(name, content, before.version, media_type) is not None

    def _any(self, known: list[Record]) -> bool:
        return next(self._state.history(MOST, self._passed_by(known)), None) is not None

    def _new(self, known: list[Record]) -> list[Record]:
        until = self._clock.now() + LONGEST
        found: list[Record] = []
        for key, build in islice(self._state.history(MOST, self._passed_by(known)), AT_ONCE):
            record = None if build is None else record_of(build)
            if record is None:
                self._unreadable.add(key)
            else:
                found.append(record)
            if self._clock.now() > until:
                break
        return found

    def _passed_by(self, known: list[Record]) -> set[str]:
        return self._unreadable.union(record.key for record in known)


def _mark(content: bytes) -> bytes:
    """The last line of a page that was drawn from these packed records."""
    return f"<!-- {KNOWN} {hashlib.sha256(content).hexdigest()} -->\n".encode()


def report_beside(record: Record) -> str | None:
    """The path of a build's report, relative to the folder of all builds; None without report."""
    return f"{record.key}/{PAGE}" if record.report else None


def make_refresh(settings: Settings, state: StatePort, clock: Clock) -> Callable[[], None]:
    """A function that updates the page; it does nothing if the builds' files are in a folder."""
    if "://" not in settings.builds:
        return lambda: None
    from handlers.in_time import InTime

    container = make_container(ContainerAddress.parse(settings.builds))
    page, in_time = HistoryPage(state, container, clock), InTime(_PATIENCE)

    def refresh() -> None:
        try:
            in_time(page.refresh)
        except TimeoutError:
            log.warning("updating the history page %s took too long; going on without it", NAME)

    return refresh
