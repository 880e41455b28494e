"""What a model's log says: which version to go back to, and which to keep. Pure.

Each function takes the valid entries, the highest number first, and reads only as many as it needs:
a log only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain

from mlgate.orchestration.models import Entry, EntryKind, is_id

NAMED_LATELY = timedelta(hours=24)
_DIGITS = 9  # of an entry's number


def withdrawn(version: str, log: Iterable[Entry]) -> bool:
    """Whether it was rolled back and not brought back since: then no build promotes it."""
    return _withdrawn(version, _Read(log), 0)


def before(log: Iterable[Entry]) -> Entry | None:
    """The entry whose version a rollback returns to: the last one that was current before the
    current one, and was not withdrawn."""
    return next((entry for entry in _others(log) if entry is not None), None)


def named(to: str, log: Iterable[Entry]) -> Entry | None:
    """The last entry with the version of that id, or the one of that number."""
    numeric = to.isascii() and to.isdecimal() and len(to) <= _DIGITS
    number = int(to) if numeric and not is_id(to) else None
    return next((entry for entry in log if to == entry.id or number == entry.number), None)


def of_build(key: str, log: Iterable[Entry], base: int) -> Entry | None:
    """The entry that a build appended after number `base`."""
    for entry in log:
        if entry.number <= base:
            return None
        if entry.build is not None and entry.build.key == key:
            return entry
    return None


def kept(log: Iterable[Entry], keep: int, now: datetime) -> frozenset[str]:
    """The versions whose files stay: the last `keep` that were promoted, the current one and what
    it replaced, the one a rollback returns to, and what any entry of the last day names."""
    read, rest = list[Entry](), iter(log)
    promoted, named_lately = dict[str, None](), set[str]()
    for entry in rest:
        read.append(entry)
        lately = entry.at > now - NAMED_LATELY
        if lately or len(read) == 1:
            named_lately |= {entry.id, entry.replaces or entry.id}
        if entry.kind is EntryKind.PROMOTED and len(promoted) < keep:
            promoted[entry.id] = None
        if not lately and len(promoted) >= keep:
            break
    back = before(chain(read, rest))
    return frozenset((*named_lately, *promoted, *((back.id,) if back else ())))


def _others(log: Iterable[Entry]) -> Iterator[Entry | None]:
    """For each entry below the highest: itself where a rollback may return to it."""
    read = _Read(log)
    current: str | None = None
    seen, gone = set[str](), set[str]()
    at = 0
    while (entry := read.at(at)) is not None:
        if current is None:
            current = entry.id
        yield None if entry.id == current or entry.id in gone else entry
        seen.add(entry.id)
        if entry.replaces and entry.replaces not in seen and _withdraws(entry, read, at):
            gone.add(entry.replaces)
        at += 1


class _Read:
    """A log, read only as far as it is needed."""

    def __init__(self, log: Iterable[Entry]) -> None:
        self._rest = iter(log)
        self._read = list[Entry]()

    def at(self, index: int) -> Entry | None:
        while len(self._read) <= index:
            entry = next(self._rest, None)
            if entry is None:
                return None
            self._read.append(entry)
        return self._read[index]


def _withdrawn(version: str, read: _Read, at: int) -> bool:
    """Whether it was rolled back, by the entries from `at` on."""
    while (entry := read.at(at)) is not None:
        if entry.id == version:
            return False
        if entry.replaces == version and _withdraws(entry, read, at):
            return True
        at += 1
    return False


def _withdraws(entry: Entry, read: _Read, at: int) -> bool:
    """Whether an entry withdraws what it replaces. It does not where it brings back a version that
    was itself withdrawn, since nothing was wrong with what was current meanwhile."""
    return entry.kind is EntryKind.ROLLED_BACK and not _withdrawn(entry.id, read, at + 1)
