"""What a version that cannot be served is held back for, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass

from mlgate.hosts.serving.versions import Lost, Refused
from mlgate.orchestration.errors import OrchestrationError, Permanent, UnfitHost
from mlgate.orchestration.models import Entry

_MOST = 120.0  # seconds from one try to the next, or the refresh where that is longer
_LOSSES = 3  # one after the other: then it is the version, and not the machine


@dataclass(frozen=True, slots=True)
class HeldBack:
    """`tries` is of this entry, and `losses` how many of the last of them lost the process;
    `alone`: the next one is to have the memory of the version that serves as well."""

    entry: Entry
    reason: str
    lasting: bool
    again: float  # the moment of the next try, unless it is lasting
    tries: int = 1
    losses: int = 0
    alone: bool = False


def held_back(
    before: HeldBack | None, entry: Entry, error: Exception, now: float, refresh: float
) -> HeldBack:
    """After another fault of the entry; `refresh` is in seconds, `now` of a monotonic clock."""
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
    """Whether its sentence is enough for the log."""
    return isinstance(error, (Refused, OrchestrationError, OSError))


def _is_lasting(error: Exception) -> bool:
    """Whether it will be so again, as long as the version and this host stay what they are."""
    if isinstance(error, Refused):
        return error.lasting
    return isinstance(error, Permanent) and not isinstance(error, UnfitHost)
