"""The ports that outlive every handler: the queue, the state of builds, and models.

Contracts as in `ports`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlgate.orchestration.errors import Finding

if TYPE_CHECKING:  # what connects to the queue needs little of this, and soon
    from pydantic import SecretStr

    from mlgate.orchestration.builds import Build
    from mlgate.orchestration.models import Entry, Manifest

NOW = timedelta(0)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as the queue delivered it; `delivery_count` is 1 the first time.

    `enqueued_at` is when it became visible in the queue, by the broker's clock; the same for every
    delivery. Its properties hold the token, so it shows neither them nor its body.
    """

    body: bytes = field(repr=False)
    properties: Mapping[str, str] = field(repr=False)
    message_id: str
    delivery_count: int = 1
    enqueued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message is to be dead-lettered."""

    reason: str
    description: str


class QueuePort(Protocol):
    """The queue that handlers are fed from.

    `send` returns once the broker has acknowledged; the broker may drop a message whose id it
    has seen lately (so that must not matter). The message becomes visible after `pause`:
    a duration, because this host's clock and the broker's may differ, and only the port knows how.
    """

    def send(self, body: bytes, message_id: str, pause: timedelta = NOW) -> None: ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that was refused, remembered with its reason."""

    key: str
    received_at: datetime
    reason: str
    findings: tuple[Finding, ...] = ()
    build_id: str | None = None
    told: bool = True  # nothing is left to report to its pipeline
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A build as read, with the version that `save` compares."""

    build: Build
    version: str


@dataclass(frozen=True, slots=True)
class Due:
    """An open build as the listing knows it: when its next look is due, and how often it was woken
    since because that look did not come."""

    key: str
    at: datetime
    wakes: int = 0


class StatePort(Protocol):
    """Where builds and their secrets are remembered.

    1. `create` stores a new build, and its token apart from it, readable by the host alone;
       false when the key exists: nothing is changed then.
    2. `save` is compare-and-swap: it returns the new `Stored`, or None when the version is not
       current; nothing is changed then.
    3. `lease` gives `owner` the build for `seconds`, or renews it; false when somebody else holds
       it. `release` gives it back; neither touches the build or its version. No host's clock
       decides who holds it: a lease is over once it was not renewed for `seconds` by the store's
       own clock, or by the clock of a host that asks for it and has watched it for so long.
    4. `due` lists the builds that are not completed, the one that is due first in front. Its cost
       follows their number, and it reads no build: what it says may be older than the build, never
       later than it by more than `set_due` was given. A new build is due when it was received.
    5. `set_due` changes what `due` says of an open build; it touches neither the build nor its
       version. `save` of a completed build takes it from the list.
    6. `reject` remembers a refused message; the same key again replaces it.
    7. `forget_token` is idempotent; `token` returns None afterwards.
    8. What was written once and can no longer change is not moved again by `load` and `save`.
    9. `history` yields the newest `limit` builds that have ended, the newest first, each with its
       key and read when it is asked for; those in `without` are passed by and not read. The build
       is None where this version cannot read it.
    """

    def create(self, build: Build, token: SecretStr | None) -> bool: ...

    def load(self, key: str) -> Stored | None: ...

    def save(self, build: Build, version: str) -> Stored | None: ...

    def lease(self, key: str, owner: str, seconds: float) -> bool: ...

    def release(self, key: str, owner: str) -> None: ...

    def due(self) -> list[Due]: ...

    def set_due(self, due: Due) -> None: ...

    def builds(self, limit: int = 100) -> list[Build]: ...

    def history(
        self, limit: int, without: Container[str] = ()
    ) -> Iterator[tuple[str, Build | None]]: ...

    def token(self, key: str) -> SecretStr | None: ...

    def forget_token(self, key: str) -> None: ...

    def reject(self, rejection: Rejection) -> None: ...

    def rejection(self, key: str) -> Rejection | None: ...

    def rejections(self, limit: int = 100) -> list[Rejection]: ...


@dataclass(frozen=True, slots=True)
class Head:
    """Where a model's log ends: its highest valid entry, and the highest number that is taken.

    They differ while another entry is being written, and where one was never completed.
    """

    entry: Entry | None = None
    taken: int = 0


class ModelsPort(Protocol):
    """Where the versions of models are kept, and the log of each.

    1. Nothing is ever replaced: an entry or a manifest that was written stays as it is, and so does
       a file of a version until `drop_files`. No reader needs a lock.
    2. `head` costs one request where nothing was appended since this object last looked, and its
       cost does not follow the length of the log. An entry that was torn is void.
    3. `append` creates the entry; false when its number is taken by another one, or when it does
       not replace the version of the valid entry before it: then it is to be weighed again with
       the new head. Must be idempotent: the same entry again is true and nothing more. `Busy` while
       the entry before it is torn and younger than a minute by the store's own clock: it may be
       being written. `Permanent` where there is no entry before it.
       `void` takes a number that nobody has taken, so that no append of that number, not even one
       that hangs at this moment, succeeds afterwards.
    4. `log` yields the valid entries, the highest number first.
    5. `keep` makes a version from what `parts` gives for each of its files' paths, hashed on the
       way: `Permanent` when a hash or a size differs, and nothing of that file is there then. The
       manifest is created last. Must be idempotent: files that are there are not copied again, and
       those of a copy that was cut short are used. Two who keep the same version share it.
    6. `manifest` is None unless the version was kept; `missing` are those of its files that are
       not there any more, or not in their size. `versions` costs as much as listing the files of
       all versions: it is not for each look.
    7. `fetch` copies a version's files into an empty folder, hashed on the way: `Permanent` when
       one differs or is not there. `fetched` does so into a folder that goes with its context.
    8. `damaged` reads every file of a version, and names those that differ or are not there.
    9. `drop_files` removes a version's files; its manifest stays. Must be idempotent.
    10. A folder that is not a store (which an unmounted share looks like) is `UnfitHost`, which
       names its mark and `mlgate models --init`, within seconds, before anything is written. One
       that does not answer is `Temporary`, as soon.
    """

    @property
    def location(self) -> str:
        """Shown to people: a folder or a URL without a signature."""
        ...

    def models(self) -> list[str]:
        """Those that have a log, sorted."""
        ...

    def head(self, model: str) -> Head: ...

    def entry(self, model: str, number: int) -> Entry | None: ...

    def log(self, model: str) -> Iterator[Entry]: ...

    def void(self, model: str, number: int) -> None: ...

    def append(self, entry: Entry) -> bool: ...

    def keep(
        self, model: str, manifest: Manifest, parts: Callable[[str], Iterable[bytes]]
    ) -> None: ...

    def versions(self, model: str) -> list[str]:
        """The ids of those whose files were kept and not dropped, sorted."""
        ...

    def manifest(self, model: str, version: str) -> Manifest | None: ...

    def missing(self, model: str, version: str) -> list[str]: ...

    def fetch(self, model: str, version: str, folder: Path) -> None: ...

    def fetched(self, model: str, version: str) -> AbstractContextManager[Path]: ...

    def damaged(self, model: str, version: str) -> list[str]: ...

    def drop_files(self, model: str, version: str) -> None: ...
