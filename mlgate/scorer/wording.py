"""Names and values in sentences, shortened because a caller may send megabytes of either."""

from __future__ import annotations

from collections.abc import Sequence

_CHARACTERS = 60  # of a name or a value
_NAMES = 10


def short(text: str, most: int = _CHARACTERS) -> str:
    """The text, cut at `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(short(name) for name in names[:_NAMES]) + more


def count_of_values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"
