"""How values, and text written by others, appear in what a build leaves.

Run names, messages and tracebacks come from repositories and kernels: they carry terminal
colors, control characters and half surrogates, which neither XML nor UTF-8 can hold.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, hyperlinks
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor movements
    r"|\x1b[ -/]*[0-~]"
)
# All but what the Char production of XML 1.0 allows, and the C1 controls, which it discourages.
_ILLEGAL = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """The text without escape sequences and characters illegal in XML 1.0; line ends are `\\n`."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ILLEGAL.sub("", _ESCAPE_SEQUENCE.sub("", text))


def one_line(text: str, limit: int = 200) -> str:
    """Plain text on one line, cut with an ellipsis to at most `limit` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


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
    if math.isfinite(value) and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return f"{value:.6g}"


def utc(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`, to the millisecond; `moment` is aware."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
