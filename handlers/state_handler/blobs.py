"""Builds in a blob container, and their tokens in another one, which others need not reach.

    builds/<key>          the record; its ETag is the version
    open/<key>            a mark without content: the build may be open
    ended/<time>-<key>    a mark: the build has ended; the newest is listed first
    leases/<key>          who acts on the build, and until when
    rejections/<key>      a refused message
    rejected/<time>-<key> its mark; the newest is listed first

No two blobs change at once, so the order is such that a handler killed in between leaves too many
marks, never too few: the one in `open` is there before the token and the build, and goes after the
build has ended and its other mark is there. `open_builds` takes away what is left over.

Leases are judged by the hosts' own clocks. Where these differ, handlers disturb one another, and
the compare-and-swap of `save` lets one of them go on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

from pydantic import SecretStr

from handlers.blobs.container import Blob, Container
from handlers.state_handler.records import (
    as_build,
    as_rejection,
    build_or_none,
    build_record,
    rejection_record,
)
from mlgate.orchestration.builds import Build
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.ports import Clock, Rejection, Stored

log = logging.getLogger("mlgate")

ABANDONED = timedelta(days=1)  # by then a start came again, or never will, and its token has ended
_AT_ONCE = 4  # records read at the same time
_LEASE_ROUNDS = 5  # of trying to be faster than others
_END_OF_TIME = 10**15  # milliseconds since 1970; what is left until then sorts the newest first


class BlobState:
    """`StatePort` in two containers; safe for any number of threads and hosts."""

    def __init__(
        self, container: Container, secrets: Container, clock: Clock | None = None
    ) -> None:
        self._container = container
        self._secrets = secrets
        self._clock = clock or SystemClock()
        self._held: dict[tuple[str, str], str] = {}  # the versions of this process's leases

    def create(self, build: Build, token: SecretStr | None) -> bool:
        # Written anew each time, so that nobody takes it for an abandoned one.
        self._container.put(_open(build.key), b"")
        if token is not None:
            self._secrets.create(build.key, token.get_secret_value().encode())
        if self._container.create(_record(build.key), _dump(build)) is not None:
            return True
        stored = self.load(build.key)
        if stored is not None and not stored.build.open:
            self.forget_token(build.key)
            self._file_away(stored.build)
        return False

    def load(self, key: str) -> Stored | None:
        found = self._container.read(_record(key))
        return None if found is None else Stored(as_build(key, found.content), found.version)

    def save(self, build: Build, version: str) -> Stored | None:
        saved = self._container.replace(_record(build.key), _dump(build), version)
        if saved is None:
            return None
        if not build.open:
            with _best_effort(build.key):
                self._file_away(build)
        return Stored(build, saved)

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        name, now = _lease(key), self._clock.now()
        record = _lease_record(owner, now + timedelta(seconds=seconds))
        version = self._held.pop((key, owner), None)
        for _ in range(_LEASE_ROUNDS):
            if version is None:
                got = self._container.create(name, record)
            else:
                got = self._container.replace(name, record, version)
            if got is not None:
                self._held[key, owner] = got
                return True
            found = self._container.read(name)
            if found is not None:
                holder, until = _lease_in(found)
                if holder != owner and until > now:
                    return False
            version = None if found is None else found.version
        return False

    def release(self, key: str, owner: str) -> None:
        version = self._held.pop((key, owner), None)
        if version is None:
            found = self._container.read(_lease(key))
            if found is None or _lease_in(found)[0] != owner:
                return
            version = found.version
        self._container.delete(_lease(key), version)

    def open_builds(self) -> list[Build]:
        """The oldest first."""
        found = []
        for key, blob in self._records(self._open_keys()):
            build = build_or_none(blob.content) if blob is not None else None
            if build is not None and build.open:
                found.append(build)
            elif blob is None or build is not None:
                with _best_effort(key):
                    self._mend(key, build)
        return sorted(found, key=_received)

    def builds(self, limit: int = 100) -> list[Build]:
        """Newest first."""
        # In this order: a build that ends meanwhile is in both lists, not in none.
        keys = [*self._open_keys(), *_keys(self._container.names("ended/", limit))]
        records = (blob for _, blob in self._records(dict.fromkeys(keys)) if blob is not None)
        found = [build for blob in records if (build := build_or_none(blob.content)) is not None]
        return sorted(found, key=_received, reverse=True)[:limit]

    def token(self, key: str) -> SecretStr | None:
        found = self._secrets.read(key)
        return None if found is None else SecretStr(found.content.decode())

    def forget_token(self, key: str) -> None:
        self._secrets.delete(key)

    def reject(self, rejection: Rejection) -> None:
        before = self.rejection(rejection.key)
        self._container.put(_rejected(rejection), b"")
        self._container.put(_rejection(rejection.key), rejection_record(rejection).encode())
        if before is not None and _rejected(before) != _rejected(rejection):
            self._container.delete(_rejected(before))

    def rejection(self, key: str) -> Rejection | None:
        found = self._container.read(_rejection(key))
        return None if found is None else as_rejection(found.content)

    def rejections(self, limit: int = 100) -> list[Rejection]:
        """Newest first."""
        keys = dict.fromkeys(_keys(self._container.names("rejected/", limit)))
        with ThreadPoolExecutor(_AT_ONCE) as several:
            found = list(several.map(self.rejection, keys))
        return [each for each in found if each is not None]

    def _file_away(self, build: Build) -> None:
        self._container.put(f"ended/{_newest_first(build.received_at)}-{build.key}", b"")
        self._container.delete(_open(build.key))

    def _mend(self, key: str, build: Build | None) -> None:
        """Take away the mark of a build that has ended, or that never came to be."""
        if build is not None:
            self.forget_token(key)
            self._file_away(build)
            return
        marked = self._container.last_write(_open(key))
        if marked is None or marked[1] > self._clock.now() - ABANDONED:
            return  # its handler is between the mark and the build
        if self._container.delete(_open(key), marked[0]):
            self.forget_token(key)

    def _open_keys(self) -> list[str]:
        return [name.removeprefix("open/") for name in self._container.names("open/")]

    def _records(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | None]]:
        keys = list(keys)
        with ThreadPoolExecutor(_AT_ONCE) as several:
            names = [_record(key) for key in keys]
            yield from zip(keys, several.map(self._container.read, names), strict=True)


@contextmanager
def _best_effort(key: str) -> Iterator[None]:
    """What is left over here is mended by the next sweep."""
    try:
        yield
    except OrchestrationError as error:
        log.info("build %s: its marks are left to the next sweep: %s", key, error)


def _record(key: str) -> str:
    return f"builds/{key}"


def _open(key: str) -> str:
    return f"open/{key}"


def _lease(key: str) -> str:
    return f"leases/{key}"


def _rejection(key: str) -> str:
    return f"rejections/{key}"


def _rejected(rejection: Rejection) -> str:
    return f"rejected/{_newest_first(rejection.received_at)}-{rejection.key}"


def _newest_first(time: datetime) -> str:
    return f"{_END_OF_TIME - int(time.timestamp() * 1000):015d}"


def _keys(names: Iterable[str]) -> list[str]:
    return [name.rpartition("-")[2] for name in names]


def _received(build: Build) -> datetime:
    return build.received_at


def _dump(build: Build) -> bytes:
    return build_record(build).encode()


def _lease_record(owner: str, until: datetime) -> bytes:
    return json.dumps({"owner": owner, "until": until.isoformat()}).encode()


def _lease_in(blob: Blob) -> tuple[str, datetime]:
    held = json.loads(blob.content)
    return held["owner"], datetime.fromisoformat(held["until"])
