"""Why a version that cannot be served is held back, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass

from mlgate.hosts.serving.versions import Lost, Refused
from mlgate.orchestration.errors import OrchestrationError, Permanent, UnfitHost
from mlgate.orchestration.models import Entry

_MOST = 120.0  # seconds between tries at most, or the refresh if that is longer
_LOSSES = 3  # in a row mean that the version is at fault, not the machine


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A version that cannot be served now.

    `tries` counts the tries of this entry, and `losses` how many of the latest in a row lost the
    process. With `alone`, the next try first ends the version that serves, to have its memory.
    """

    entry: Entry
    reason: str
    lasting: bool
    again: float  # the time of the next try, unless it is lasting
    tries: int = 1
    losses: int = 0
    alone: bool = False


def held_back(
    before: HeldBack | None, entry: Entry, error: Exception, now: float, refresh: float
) -> HeldBack:
    """The record after another error of the entry.

    `refresh` is in seconds; `now` is by a monotonic clock.
    """
    same = before is not None and before.entry.number == entry.number
    tries = before.tries + 1 if before and same else 1
    lost = isinstance(error, Lost)
    losses = (before.losses if before and same else 0) + 1 if lost else 0
    pause = min(refresh * 2.0 ** min(tries - 1, 30), max(refresh, _MOST))
    return HeldBack(
        entry,
        str(error) or repr(error),
        _is_lasting(error) or losses >= _LOSSES,
        now + pause,
        tries,
        losses,
        isinstance(error, Lost) and error.killed,
    )


def is_foreseen(error: Exception) -> bool:
    """Whether the log needs only the error's text, without a traceback."""
    return isinstance(error, (Refused, OrchestrationError, OSError))


def _is_lasting(error: Exception) -> bool:
    """Whether the same error would occur again while the version and this host don't change."""
    if isinstance(error, Refused):
        return error.lasting
    return isinstance(error, Permanent) and not isinstance(error, UnfitHost)
