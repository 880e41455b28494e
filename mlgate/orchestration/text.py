"""How values, and text written by others, appear in what a build leaves.

The launcher cleans text by the same functions, so they are its own: it imports nothing of ours.
"""

from __future__ import annotations

import math
from datetime import MINYEAR, UTC, datetime

from mlgate.launcher.text import one_line as one_line  # noqa: PLC0414 -- passed on
from mlgate.launcher.text import plain as plain  # noqa: PLC0414 -- likewise

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def tail(text: str, limit: int) -> str:
    """The last `limit` characters, from the start of a line where there is one: tracebacks
    say at their end what happened."""
    if len(text) <= limit:
        return text
    cut = text[-limit:]
    return "…\n" + (cut.partition("\n")[2] or cut)


def head(text: str, limit: int) -> str:
    """The first `limit` characters, to the end of a line where there is one."""
    if len(text) <= limit:
        return text
    cut = text[:limit]
    return (cut.rpartition("\n")[0] or cut) + "\n…"


def duration(seconds: float | None) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3 min 04 s`, `2 h 05 min`; a dash when unknown."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def number(value: float) -> str:
    """A metric for people, six significant digits; whole numbers in full."""
    value = as_float(value)
    if math.isfinite(value) and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return f"{value:.6g}"


def minutes(count: float) -> str:
    """`1 minute`, `2.5 minutes`; whole numbers in full."""
    shown = number(count)
    return f"{shown} minute" if shown == "1" else f"{shown} minutes"


def exact(value: float) -> str:
    """In full: a rounded bound beside a rounded value can look fulfilled."""
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return number(value)


def as_float(value: float) -> float:
    """An integer counts as a float to the type checker, and may be too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def finite(value: float | None) -> float | None:
    """None for what JSON has no number for."""
    return value if value is not None and math.isfinite(as_float(value)) else None


def in_utc(moment: datetime) -> datetime:
    """An aware moment in UTC. One so early or late that UTC has no year for it becomes the first
    or the last that UTC has: untrusted text may hold any time."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return _FIRST if moment.year == MINYEAR else _LAST


def utc(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`, to the millisecond; `moment` is aware."""
    if moment is None:
        return None
    return in_utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")
