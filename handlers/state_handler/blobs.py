"""Builds in a blob container, and their tokens in a second one, which only hosts need to reach.

builds/<key>          the head of the record; its ETag is the version
parts/<key>/<name>    a part that the head names
open/..., ended/...   marks, see `marks`
leases/<key>          who acts on the build
rejections/<key>      a refused message
rejected/<time>-<key> its mark; the newest is listed first
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Container as Names
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import SecretStr

from handlers.blobs.container import Container, Listed
from handlers.state_handler import rejections
from handlers.state_handler.drafts import compose
from handlers.state_handler.leases import BlobLeases
from handlers.state_handler.marks import Behind, Marks, keys_in, newest_first
from handlers.state_handler.records import Glimpse, glimpse
from handlers.state_handler.shelf import ForeignRecord, Shelf
from mlgate.orchestration.builds import Build
from mlgate.orchestration.clock import Clock, SystemClock
from mlgate.orchestration.durable import Due, Rejection, Stored
from mlgate.orchestration.errors import OrchestrationError

log = logging.getLogger("mlgate")

ABANDONED = timedelta(days=1)  # by then no start is delivered again, and its token has expired
_AT_ONCE = 4  # concurrent requests
_OF_HISTORY = 20  # builds of the history in memory
_SKEWED = timedelta(seconds=10)
_SKEW_PAUSE = timedelta(minutes=10)  # between two warnings

Item = TypeVar("Item")
Result = TypeVar("Result")


class BlobState:
    """`StatePort` in two containers; safe for any number of threads and hosts."""

    def __init__(
        self, container: Container, secrets: Container, clock: Clock | None = None
    ) -> None:
        self._container = container
        self._secrets = secrets
        self._clock = clock or SystemClock()
        self._leases = BlobLeases(container)
        self._marks = Marks(container)
        self._shelf = Shelf(self._head, self._parts)
        self._logged: set[str] = set()  # rejections that cannot be read
        self._skew_logged: datetime | None = None

    def create(self, build: Build, token: SecretStr | None) -> bool:
        self._marks.open(Due(build.key, build.received_at))
        if token is not None:
            self._write_token(build.key, token)
        head = compose(build, None).head
        if self._container.create(_record(build.key), head) is not None:
            return True
        found = self._container.read(_record(build.key))
        seen = None if found is None else glimpse(found.content)
        if seen is not None and not seen.open:
            self.forget_token(build.key)
            self._file_away(build.key, seen)
        return False

    def load(self, key: str) -> Stored | None:
        return self._shelf.load(key)

    def save(self, build: Build, version: str) -> Stored | None:
        draft = self._shelf.draft(build, version)
        if draft is None:
            return None
        _several(
            lambda part: self._container.put(_part(build.key, part[0]), part[1]),
            list(draft.parts.items()),
        )
        saved = self._container.replace(_record(build.key), draft.head, version)
        if saved is None:
            return None
        stored = self._shelf.keep(draft.record, saved)
        seen = None if build.open else glimpse(draft.head)
        if seen is not None:
            try:
                self._file_away(build.key, seen)
            except OrchestrationError as error:
                log.info("build %s: its marks are left to the next sweep: %s", build.key, error)
        return stored

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        got = self._leases.lease(key, owner, seconds)
        self._report_skew()
        return got

    def release(self, key: str, owner: str) -> None:
        self._leases.release(key, owner)

    def due(self) -> list[Due]:
        """Lists once, and reads the builds of some long-overdue marks, which may be left over."""
        found = self._marks.due(self._clock.now(), self._mend)
        self._report_skew()
        return found

    def set_due(self, due: Due) -> None:
        self._marks.change(due)

    def builds(self, limit: int = 100) -> list[Build]:
        """Newest first."""
        found = _several(self._shelf.readable, self._marks.keys(limit))
        builds = [build for build in found if build is not None]
        return sorted(builds, key=lambda build: build.received_at, reverse=True)[:limit]

    def history(self, limit: int, without: Names[str] = ()) -> Iterator[tuple[str, Build | None]]:
        keys = [key for key in self._marks.ended(limit) if key not in without]
        for start in range(0, len(keys), _OF_HISTORY):
            some = keys[start : start + _OF_HISTORY]
            for key, found in zip(some, _several(self._head, some), strict=True):
                build = None if found is None else self._shelf.passing(key, found[0])
                yield key, None if build is None or build.open else build

    def token(self, key: str) -> SecretStr | None:
        found = self._secrets.read(key)
        return None if found is None else SecretStr(found.content.decode())

    def forget_token(self, key: str) -> None:
        self._secrets.delete(key)

    def reject(self, rejection: Rejection) -> None:
        try:
            before = self.rejection(rejection.key)
        except ForeignRecord:
            before = None
        self._container.put(_rejected(rejection), b"")
        self._container.put(_rejection(rejection.key), rejections.as_text(rejection).encode())
        if before is not None and _rejected(before) != _rejected(rejection):
            self._container.delete(_rejected(before))

    def rejection(self, key: str) -> Rejection | None:
        found = self._container.read(_rejection(key))
        return None if found is None else rejections.from_text(key, found.content)

    def rejections(self, limit: int = 100) -> list[Rejection]:
        """Newest first."""
        keys = list(dict.fromkeys(keys_in(self._container.names("rejected/", limit))))
        blobs = _several(self._container.read, [_rejection(key) for key in keys])
        found = [(key, blob.content) for key, blob in zip(keys, blobs, strict=True) if blob]
        return rejections.readable(found, self._logged)

    def skew(self) -> timedelta | None:
        """How far this host's clock is ahead of the storage's; None before its first answer."""
        return self._container.skew()

    def _head(self, key: str) -> tuple[bytes, str] | None:
        found = self._container.read(_record(key))
        return None if found is None else (found.content, found.version)

    def _parts(self, key: str, names: Sequence[str]) -> Mapping[str, bytes]:
        found = _several(self._container.read, [_part(key, name) for name in names])
        blobs = zip(names, found, strict=True)
        return {name: blob.content for name, blob in blobs if blob is not None}

    def _write_token(self, key: str, token: SecretStr) -> None:
        """An existing token belongs to the same identity and stays."""
        content = token.get_secret_value().encode()
        if self._secrets.create(key, content) is None and self._head(key) is None:
            # Rewritten, so that it does not look like the token of a build that was never created.
            self._secrets.put(key, content)

    def _mend(self, key: str, mark: Listed) -> Behind:
        """Remove what is left of a build that has ended or was never created."""
        try:
            found = self._container.read(_record(key))
            if found is None:
                if mark.age > ABANDONED:
                    self._forget_abandoned(key, mark)
                return Behind.NOTHING
            seen = glimpse(found.content)
            if seen is None or seen.open:
                return Behind.OPEN
            self.forget_token(key)
            self._file_away(key, seen)
        except OrchestrationError as error:
            log.info("build %s: its leftovers stay for now: %s", key, error)
            return Behind.OPEN
        return Behind.ENDED

    def _forget_abandoned(self, key: str, mark: Listed) -> None:
        """Remove a start's mark and token, unless it has come again and rewritten them."""
        token = self._secrets.last_write(key)
        if self._marks.close(key, mark.version) and token is not None and token[1] > ABANDONED:
            self._secrets.delete(key, token[0])

    def _file_away(self, key: str, ended: Glimpse) -> None:
        self._marks.end(key, ended.received_at)
        if ended.parted:
            # The build has ended, so no later head names a part that this one does not.
            there = self._container.names(f"parts/{key}/")
            left = set(there) - {_part(key, name) for name in ended.names}
            _several(self._container.delete, sorted(left))
        self._marks.close(key)

    def _report_skew(self) -> None:
        skew, now = self.skew(), self._clock.now()
        if skew is None or abs(skew) <= _SKEWED:
            return
        if self._skew_logged is not None and abs(now - self._skew_logged) < _SKEW_PAUSE:
            return
        self._skew_logged = now
        log.warning(
            "This host's clock is %.0f s %s the storage's. Set it right (NTP): until then this "
            "host looks at builds too early or too late, and the times that it reports are wrong.",
            abs(skew.total_seconds()),
            "ahead of" if skew > timedelta(0) else "behind",
        )


def _several(act: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    if len(items) <= 1:
        return [act(item) for item in items]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(act, items))


def _record(key: str) -> str:
    return f"builds/{key}"


def _part(key: str, name: str) -> str:
    return f"parts/{key}/{name}"


def _rejection(key: str) -> str:
    return f"rejections/{key}"


def _rejected(rejection: Rejection) -> str:
    return f"rejected/{newest_first(rejection.received_at)}-{rejection.key}"
