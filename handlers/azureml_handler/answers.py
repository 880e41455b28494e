"""What Azure ML answers, read as what it must be, or not at all.

A proxy or a gateway may answer for it with a page of its own, or with half of what it said, and
with status 200. That passes, and says nothing of what was asked for: so nothing is read into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlgate.orchestration.errors import Temporary

_DELAY = 10.0  # seconds


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """`value`, which is `what` of an answer, as the object that it must be."""
    if not isinstance(value, Mapping):
        raise unreadable(f"{what} is not an object")
    return value


def part(value: Any, *names: str) -> Any:
    """What is there below these names; None where there is nothing, or no object to hold it."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(value: Any, *names: str) -> str:
    """The text that must be there below these names."""
    found = part(value, *names)
    if not isinstance(found, str) or not found:
        raise unreadable(f"{'.'.join(names)} is missing")
    return found


def unreadable(why: str) -> Temporary:
    return Temporary(
        f"Azure ML answered with something that is not what was asked for ({why}): see whether a "
        "proxy answers in its place.",
        _DELAY,
    )


@contextmanager
def read_by_sdk() -> Iterator[None]:
    """For the calls of an SDK alone, which trips over what it cannot read in ways of its own."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(f"{type(error).__name__} in its client") from error
