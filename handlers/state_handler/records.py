"""Builds and rejections as text, the same in every store."""

from __future__ import annotations

import logging

from pydantic import TypeAdapter, ValidationError

from mlgate.orchestration.builds import Build
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.ports import Rejection

log = logging.getLogger("mlgate")

_BUILD = TypeAdapter(Build)
_REJECTION = TypeAdapter(Rejection)


def build_record(build: Build) -> str:
    return _BUILD.dump_json(build).decode()


def as_build(key: str, record: str | bytes) -> Build:
    """Raises `Permanent` for one that another version wrote."""
    build = build_or_none(record)
    if build is None:
        raise Permanent(f"The record of build {key} cannot be read by this version of mlgate.")
    return build


def build_or_none(record: str | bytes) -> Build | None:
    """None for a record that another version wrote: it must not hide the others."""
    try:
        return _BUILD.validate_json(record)
    except ValidationError as error:
        log.warning("a build's record cannot be read: %s", error.errors()[0]["msg"])
        return None


def rejection_record(rejection: Rejection) -> str:
    return _REJECTION.dump_json(rejection).decode()


def as_rejection(record: str | bytes) -> Rejection:
    return _REJECTION.validate_json(record)
