"""A cache of the builds that a process read or wrote last, so that only changes are moved."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from handlers.state_handler.drafts import Draft, compose
from handlers.state_handler.reading import MissingPartError, parse
from handlers.state_handler.records import Record, UnreadableError
from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import Stored
from mlgate.orchestration.errors import Temporary

log = logging.getLogger("mlgate")

_MOST = 16 << 20  # characters of the cached records; in memory they take about ten times that
_LATER = 60.0  # seconds, for a host with another version to get the message


class ForeignRecord(Temporary):
    """A record that this version of mlgate cannot read; a host with another version may."""


class Shelf:
    """Safe for threads. `head` reads a head with its version, `parts` some of a build's parts."""

    def __init__(
        self,
        head: Callable[[str], tuple[bytes | str, str] | None],
        parts: Callable[[str, Sequence[str]], Mapping[str, bytes]],
        most: int = _MOST,
    ) -> None:
        self._head = head
        self._parts = parts
        self._most = most
        self._kept: OrderedDict[str, tuple[str, Record]] = OrderedDict()
        self._size = 0
        self._logged: set[str] = set()
        self._lock = threading.Lock()

    def load(self, key: str) -> Stored | None:
        """Raises `ForeignRecord`."""
        found = self._read(key)
        return None if found is None else Stored(found[1].build, found[0])

    def readable(self, key: str) -> Build | None:
        """Like `load`, but None for one that this version cannot read: it must not hide others."""
        try:
            stored = self.load(key)
        except ForeignRecord:
            return None
        return None if stored is None else stored.build

    def passing(self, key: str, head: bytes | str) -> Build | None:
        """Like `readable`, from a head that was read already, and not cached."""
        try:
            return parse(head, None, lambda names: self._parts(key, names)).build
        except MissingPartError:
            return self.readable(key)
        except UnreadableError as error:
            self._warn(key, error)
            return None

    def draft(self, build: Build, version: str) -> Draft | None:
        """What to write to replace `version`; None when that is not current."""
        with self._lock:
            kept = self._kept.get(build.key)
        if kept is None or kept[0] != version:
            kept = self._read(build.key)
        if kept is None or kept[0] != version:
            return None
        return compose(build, kept[1])

    def keep(self, record: Record, version: str) -> Stored:
        """Cache what was read or written."""
        key = record.build.key
        with self._lock:
            self._forget(key)
            self._kept[key] = version, record
            self._size += record.size
            while self._size > self._most:
                self._forget(next(iter(self._kept)))
        return Stored(record.build, version)

    def _forget(self, key: str) -> None:
        if key in self._kept:
            self._size -= self._kept.pop(key)[1].size

    def _read(self, key: str) -> tuple[str, Record] | None:
        last = None
        while True:
            found = self._head(key)
            if found is None:
                return None
            head, version = found
            with self._lock:
                kept = self._kept.get(key)
            if kept is not None and kept[0] == version:
                return kept
            before = kept[1] if kept is not None else None
            try:
                record = parse(head, before, lambda names: self._parts(key, names))
            except MissingPartError as error:
                if version != last:
                    last = version
                    continue
                raise Temporary(
                    f"The record of build {key} names parts that are missing: {error}."
                ) from error
            except UnreadableError as error:
                self._warn(key, error)
                raise ForeignRecord(
                    f"The record of build {key} cannot be read by this version of mlgate: another "
                    "version wrote it. Have a host with that version handle it.",
                    _LATER,
                ) from error
            self.keep(record, version)
            return version, record

    def _warn(self, key: str, error: UnreadableError) -> None:
        with self._lock:
            new = key not in self._logged
            self._logged.add(key)
        if new:
            log.warning(
                "build %s: its record cannot be read by this version of mlgate: %s. "
                "Have a host with the version that wrote it handle it.",
                key,
                error,
            )
