"""The page of many builds: made of what the state remembers, and kept up to date in a container.

Beside the page lies what is known of the builds, so that a refresh reads only the builds that have
ended since. Both are best effort: nothing of a verdict waits for them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from handlers.blobs.address import ContainerAddress
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_container
from mlgate.orchestration.durable import StatePort
from mlgate.orchestration.ports import Clock
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
    from handlers.blobs.container import Container

log = logging.getLogger("mlgate")

NAME, KNOWN = "index.html", "history.json.gz"
EVERY = timedelta(minutes=5)
AT_ONCE = 200  # builds that one refresh reads; the next one goes on
_LONGEST = timedelta(seconds=20)  # of their reading
_PATIENCE = 30.0  # seconds that whoever sweeps waits for it
_HTML = "text/html; charset=utf-8"
_LARGEST = 64 << 20  # bytes


def records_in(state: StatePort) -> list[Record]:
    """Of the newest builds that have ended, the newest first."""
    return newest(filter(None, map(record_of, state.history(MOST))))


class HistoryPage:
    """`index.html` of the builds' container, for any number of hosts."""

    def __init__(self, state: StatePort, container: Container, clock: Clock) -> None:
        self._state = state
        self._container = container
        self._clock = clock
        self._records: list[Record] | None = None
        self._last: datetime | None = None

    def refresh(self) -> None:
        """Take in the builds that have ended since; does nothing within `EVERY` of the last time.

        Raises nothing: what fails is logged, and tried again the next time.
        """
        now = self._clock.now()
        if self._last is not None and abs(now - self._last) < EVERY:
            return
        self._last = now
        try:
            self._refresh()
        except Exception as error:  # noqa: BLE001 -- a page is worth no handler's end
            log.warning("%s of the builds was not brought up to date: %s", NAME, error)

    def _refresh(self) -> None:
        if self._records is not None and not self._any(self._records):
            return
        found = self._container.read(KNOWN, _LARGEST)
        before = [] if found is None else unpacked(found.content)
        records = newest([*before, *self._new(before)])
        if records == before:
            self._records = records
            return
        # The page first: what is known already is not drawn again.
        page = history_html(records, report_beside, self._clock.now())
        self._container.put(NAME, page, _HTML)
        content = packed(records)
        if found is None:
            written = self._container.create(KNOWN, content)
        else:
            written = self._container.replace(KNOWN, content, found.version)
        # Where another host was first, the next refresh has what both know.
        self._records = None if written is None else records

    def _any(self, known: list[Record]) -> bool:
        return next(self._state.history(MOST, _keys(known)), None) is not None

    def _new(self, known: list[Record]) -> list[Record]:
        until = self._clock.now() + _LONGEST
        found: list[Record] = []
        for build in islice(self._state.history(MOST, _keys(known)), AT_ONCE):
            if (record := record_of(build)) is not None:
                found.append(record)
            if self._clock.now() > until:
                break
        return found


def _keys(known: list[Record]) -> frozenset[str]:
    return frozenset(record.key for record in known)


def report_beside(record: Record) -> str | None:
    """Where a build's report is, from the folder of all builds."""
    return f"{record.key}/{PAGE}" if record.report else None


def make_refresh(settings: Settings, state: StatePort, clock: Clock) -> Callable[[], None]:
    """What keeps the page up to date; nothing where the builds' files are in a folder."""
    if "://" not in settings.builds:
        return lambda: None
    from handlers.in_time import InTime

    container = make_container(ContainerAddress.parse(settings.builds))
    page, in_time = HistoryPage(state, container, clock), InTime(_PATIENCE)

    def refresh() -> None:
        try:
            in_time(page.refresh)
        except TimeoutError:
            log.warning("%s of the builds is not waited for any more", NAME)

    return refresh
