"""Names and values in sentences. A caller may send megabytes of either, so each is cut."""

from __future__ import annotations

from collections.abc import Sequence

_CHARACTERS = 60  # of a name or a value
_NAMES = 10


def short(text: str, most: int = _CHARACTERS) -> str:
    """The text, or its beginning."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(short(name) for name in names[:_NAMES]) + more
