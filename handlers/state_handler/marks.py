"""Empty blobs whose names list builds: those that are open, and those that have ended.

    open/<key>            the build may be open; its metadata says when it is due
    ended/<time>-<key>    the build has ended; the newest is listed first

Two blobs cannot change at once, so the order is one in which a killed handler leaves too many
marks, never too few: the mark in `open` is written before the token and the build, and removed
after the build has ended and its mark in `ended` is written. A mark that is left over becomes
overdue, which is how it is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from handlers.blobs.container import Container, Listed
from mlgate.orchestration.durable import Due

_OVERDUE = timedelta(minutes=5)  # the mark of a build that a host handles is never so late
_AGAIN = timedelta(minutes=10)  # until the build of the same mark is read again
_MOST = 10  # marks whose builds are read at a time
_END_OF_TIME = 10**15  # milliseconds since 1970; the time left until then sorts the newest first


class Behind(Enum):
    """The state of a mark's build."""

    OPEN = auto()
    ENDED = auto()  # its mark was removed
    NOTHING = auto()  # no build: not yet, or never


@dataclass(frozen=True, slots=True)
class _Looked:
    version: str
    at: datetime
    behind: Behind


class Marks:
    """Safe for threads and hosts."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._looked: dict[str, _Looked] = {}

    def open(self, due: Due) -> None:
        """Rewritten each time, so that it does not look abandoned."""
        self._container.put(_open(due.key), b"", metadata=_metadata(due))

    def change(self, due: Due) -> None:
        """Does nothing for a build that has ended meanwhile."""
        self._container.set_metadata(_open(due.key), _metadata(due))

    def end(self, key: str, received_at: datetime) -> None:
        self._container.put(f"ended/{newest_first(received_at)}-{key}", b"")

    def close(self, key: str, version: str | None = None) -> bool:
        return self._container.delete(_open(key), version)

    def due(self, now: datetime, look: Callable[[str, Listed], Behind]) -> list[Due]:
        """The open builds, in the order in which they are due.

        `look` returns the state of an overdue mark's build; it is called for some of them.
        """
        marks = {_key(mark): mark for mark in self._container.listed("open/")}
        found = sorted(
            (_due(key, mark) for key, mark in marks.items()), key=lambda due: (due.at, due.key)
        )
        overdue = [due.key for due in found if due.at < now - _OVERDUE]
        looked = {key: self._looked[key] for key in overdue if self._counts(marks[key], now)}
        for key in [key for key in overdue if key not in looked][:_MOST]:
            looked[key] = _Looked(marks[key].version, now, look(key, marks[key]))
        self._looked = looked
        return [
            due for due in found if due.key not in looked or looked[due.key].behind is Behind.OPEN
        ]

    def keys(self, limit: int) -> list[str]:
        """The keys of the open builds, and of the last ones that ended; each once."""
        # In this order, a build that ends meanwhile is in both lists instead of in none.
        names = [*self._container.names("open/"), *self._container.names("ended/", limit)]
        return list(dict.fromkeys(keys_in(names)))

    def ended(self, limit: int) -> list[str]:
        """The builds that have ended, the newest first; each once."""
        return list(dict.fromkeys(keys_in(self._container.names("ended/", limit))))

    def _counts(self, mark: Listed, now: datetime) -> bool:
        looked = self._looked.get(_key(mark))
        return (
            looked is not None and looked.version == mark.version and abs(now - looked.at) < _AGAIN
        )


def newest_first(time: datetime) -> str:
    return f"{_END_OF_TIME - int(time.timestamp() * 1000):015d}"


def keys_in(names: Iterable[str]) -> list[str]:
    return [name.rpartition("/")[2].rpartition("-")[2] for name in names]


def _open(key: str) -> str:
    return f"open/{key}"


def _key(mark: Listed) -> str:
    return mark.name.removeprefix("open/")


def _metadata(due: Due) -> dict[str, str]:
    return {"at": due.at.astimezone(UTC).isoformat(), "wakes": f"{due.wakes}"}


def _due(key: str, mark: Listed) -> Due:
    """A mark that another version wrote is due now: the handler of the build then rewrites it."""
    try:
        at = datetime.fromisoformat(mark.metadata["at"])
        return Due(key, at.astimezone(UTC), int(mark.metadata["wakes"]))
    except (LookupError, ValueError):
        return Due(key, datetime.fromtimestamp(0, UTC))
