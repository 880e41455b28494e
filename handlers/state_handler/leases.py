"""Leases in blobs, measured by the storage's own clock.

A lease is a blob that says who holds it and for how long. It is over when the blob reaches that
age: the time of the storage's answer minus the time of the blob's last write. Storage's own leases
on blobs are not used: they last 15 seconds at least, which a build would wait when its handler
died, and they need a blob that exists before and stays.
"""

from __future__ import annotations

import json
from datetime import timedelta

from handlers.blobs.container import Blob, Container

_ROUNDS = 5  # tries while others write at the same time
# Both times are rounded down to seconds, and may come from two of the storage's machines.
_ROUNDING = timedelta(seconds=2)


class BlobLeases:
    """Safe for threads."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._held: dict[tuple[str, str], str] = {}  # the versions of this process's leases

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        name = _name(key)
        record = json.dumps({"owner": owner, "seconds": seconds}).encode()
        version = self._held.pop((key, owner), None)
        for _ in range(_ROUNDS):
            if version is None:
                got = self._container.create(name, record)
            else:
                got = self._container.replace(name, record, version)
            if got is not None:
                self._held[key, owner] = got
                return True
            found = self._container.read(name)
            if found is not None:
                holder, lasts = _said_in(found)
                if holder != owner and found.age < lasts + _ROUNDING:
                    return False
            version = None if found is None else found.version
        return False

    def release(self, key: str, owner: str) -> None:
        version = self._held.pop((key, owner), None)
        if version is None:
            found = self._container.read(_name(key))
            if found is None or _said_in(found)[0] != owner:
                return
            version = found.version
        self._container.delete(_name(key), version)


def _name(key: str) -> str:
    return f"leases/{key}"


def _said_in(blob: Blob) -> tuple[str, timedelta]:
    """The holder, and for how long; nobody, for a minute, if another version wrote the blob."""
    try:
        held = json.loads(blob.content)
        return str(held["owner"]), timedelta(seconds=held["seconds"])
    except (ValueError, TypeError, LookupError, OverflowError):
        return "", timedelta(minutes=1)
