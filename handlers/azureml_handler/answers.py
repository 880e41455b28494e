"""Strict reading of Azure ML's answers.

A proxy or a gateway may answer in its place, with a page of its own or with half of an answer, and
with status 200. Such an answer says nothing about what was asked for, so it is `Temporary`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlgate.orchestration.errors import Temporary

_DELAY = 10.0  # seconds


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """`value`, which must be an object; `what` names it in the error."""
    if not isinstance(value, Mapping):
        raise unreadable(f"{what} is not an object")
    return value


def part(value: Any, *names: str) -> Any:
    """The value below these names; None if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(value: Any, *names: str) -> str:
    """The text below these names, which must be there."""
    found = part(value, *names)
    if not isinstance(found, str) or not found:
        raise unreadable(f"{'.'.join(names)} is missing")
    return found


def unreadable(why: str) -> Temporary:
    return Temporary(
        f"Azure ML's answer cannot be read ({why}). Check whether a proxy answers in its place.",
        _DELAY,
    )


@contextmanager
def read_by_sdk() -> Iterator[None]:
    """For SDK calls only: an SDK that cannot read an answer raises errors of many kinds."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(f"{type(error).__name__} in its client") from error
