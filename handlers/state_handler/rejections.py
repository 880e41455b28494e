"""Rejections as text, the same in every store."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pydantic import TypeAdapter, ValidationError

from handlers.state_handler.shelf import ForeignRecord
from mlgate.orchestration.durable import Rejection

log = logging.getLogger("mlgate")

_REJECTION = TypeAdapter(Rejection)


def as_text(rejection: Rejection) -> str:
    return _REJECTION.dump_json(rejection).decode()


def from_text(key: str, text: str | bytes) -> Rejection:
    """Raises `ForeignRecord` for one that another version wrote."""
    try:
        return _REJECTION.validate_json(text)
    except ValidationError as error:
        raise ForeignRecord(
            f"The record of rejected message {key} cannot be read by this version of mlgate: "
            f"another version wrote it ({error.errors()[0]['msg']})."
        ) from error


def readable(records: Iterable[tuple[str, str | bytes]], logged: set[str]) -> list[Rejection]:
    """Skips those that another version wrote: they must not hide the others.

    `logged` has the keys of skipped ones, so that each is logged once.
    """
    found = []
    for key, text in records:
        try:
            found.append(from_text(key, text))
        except ForeignRecord as error:
            if key not in logged:
                log.warning("%s", error)
            logged.add(key)
    return found
