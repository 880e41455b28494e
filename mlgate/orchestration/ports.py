"""The ports: what the conductor asks of the outside, one Protocol per outside thing.

Each contract is numbered prose; one suite of tests holds every implementation to it. All methods
may raise `Temporary` (does not answer now) or `Permanent` (said no), with a sentence for people,
and must not raise anything else for a fault of the outside. Times are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from mlgate.orchestration.builds import Build, PipelineAddress, RepositoryRequest
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task
from mlgate.orchestration.told import Completion, Progress, Results


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class Tree(Protocol):
    """The files of a checkout, as the planning of runs reads them."""

    def files(self) -> Sequence[str]:
        """Every regular file, sorted, relative to the root, with `/`."""
        ...

    def read(self, path: str) -> bytes:
        """The content of one of `files`; KeyError for any other path."""
        ...


class Checkout(Tree, Protocol):
    """A clean tree on this machine, gone when its context ends.

    `folder` holds the repository's subdirectory only: regular files and folders, links inside
    the tree resolved to copies, links out of it left out (each named in `warnings`), no `.git`.
    `commit` is the full SHA.
    """

    @property
    def commit(self) -> str: ...

    @property
    def folder(self) -> Path: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


class RepositoryPort(Protocol):
    """A git repository, fetched at exactly one commit.

    1. `checkout` yields a clean tree of `request.ref` (default branch when None).
    2. Must be idempotent: a commit already cached is not fetched again.
    3. A repository, ref or subdirectory that is not there, or access refused: `Permanent` that
       names it and the remedy. A server that does not answer: `Temporary`.
    4. Nothing of the repository is executed (hooks, filters, config), nobody is prompted, and
       no credential appears in a URL on disk, an argument, a log or an exception.
    5. `token` is the pipeline job's own, used only for Azure Repos in the build's collection.
    """

    def checkout(
        self,
        request: RepositoryRequest,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> AbstractContextManager[Checkout]: ...


class BuildFiles(Protocol):
    """Where a build's files go: one folder per build, paths relative to it, with `/`.

    1. `write` and `copy` are atomic: a reader sees the old file, the new one, or none.
    2. Must be idempotent: the same path again replaces the file.
    3. `read` of a path that is not there returns None.
    4. `list` tells the files below a folder, all of the build's for "".
    5. `location` is what people are told: a folder or a URL.
    """

    def write(self, build: str, path: str, content: bytes) -> None: ...

    def copy(self, build: str, path: str, source: Path) -> None: ...

    def read(self, build: str, path: str) -> bytes | None: ...

    def list(self, build: str, folder: str = "") -> list[str]: ...

    def location(self, build: str) -> str: ...


class BackendPort(Protocol):
    """Where runs execute.

    1. `stage` takes over a clean tree, with the files that the environments of `runs` are made
       of, and returns the backend's own word for it, good for every later `submit` of the build,
       from any process of the same `host`. Must be idempotent: the same commit and subdirectory
       cost nothing the second time.
    2. `submit` starts an attempt or finds it: an attempt is never executed twice, whatever
       crashed in between. False: there is no free place now, nothing was started.
    3. `look` tells of each attempt that was submitted; one that should be there and is not is
       seen as FAILED (its outcome is `infrastructure`). Status is never SKIPPED.
    4. `cancel` asks for the end of attempts and returns at once; they are seen as CANCELED later.
       Must be idempotent, also for attempts that have ended or never began; one that was never
       submitted may be unknown afterwards.
    5. `collect` takes over an ended attempt: kept files under `runs/<name>/` of the build's
       files, and its outcome. Must be idempotent.
    6. `release` frees what only an open build needs (folders, snapshots). Must be idempotent.
    7. `host`: None when any host can do all this, else the name of this one, to which the
       attempts belong.
    8. `at_once`: how many calls of `submit`, or of `collect`, may be under way at the same time,
       each in a thread of its own.
    """

    @property
    def host(self) -> str | None: ...

    @property
    def at_once(self) -> int: ...

    def stage(
        self, checkout: Checkout, request: RepositoryRequest, runs: Sequence[RunSpec]
    ) -> str: ...

    def submit(self, task: Task) -> bool: ...

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]: ...

    def cancel(self, attempts: Iterable[Attempt]) -> None: ...

    def collect(self, task: Task, files: BuildFiles) -> Outcome: ...

    def release(self, build: str) -> None: ...


class PipelinePort(Protocol):
    """The pipeline step that waits.

    1. `is_waiting` is false once the step, its job or its plan has ended, whoever ended it.
    2. `show` is best effort, and may leave what would exceed the rate limit to the next call. It is
       called with every look, and sends nothing when there is nothing new; so does `publish`
       without a verdict.
    3. `complete` returns once the pipeline has confirmed the completion; it raises `Temporary`
       when that is not known. With `doubt`, a completion may have arrived before: the
       pipeline's record is read first, and nothing is posted to a step that has ended.
    4. Each refuses an address that this host does not allow before any network I/O: `Permanent`.
    5. A token the pipeline no longer takes, and no identity of the host's to fall back on:
       `Permanent`.
    6. `publish` adds what the pipeline does not have yet of `results`: a test run with a result
       for each run and its files, and with the verdict the rest; then the test run is completed.
       Must be idempotent: whatever died in between, nothing is there twice. False: there is more
       to add than one call should take; call again.
    7. `publish` with the verdict canceled, or to a step that has ended, adds nothing: a test run
       that was begun is marked as aborted.
    8. What `publish` cannot do for good keeps it from nothing else; one `Permanent` tells it in
       the end.
    9. `name` is what people call the pipeline; None where that is not told.
    """

    def name(self, address: PipelineAddress, token: SecretStr) -> str | None: ...

    def is_waiting(self, address: PipelineAddress, token: SecretStr) -> bool: ...

    def show(self, address: PipelineAddress, token: SecretStr, progress: Progress) -> None: ...

    def publish(
        self, address: PipelineAddress, token: SecretStr, results: Results, files: BuildFiles
    ) -> bool: ...

    def complete(
        self,
        address: PipelineAddress,
        token: SecretStr,
        completion: Completion,
        *,
        doubt: bool = False,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as the queue delivered it; `delivery_count` is 1 the first time.

    Its properties hold the token, so it shows neither them nor its body.
    """

    body: bytes = field(repr=False)
    properties: Mapping[str, str] = field(repr=False)
    message_id: str
    delivery_count: int = 1


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message is to be dead-lettered."""

    reason: str
    description: str


class QueuePort(Protocol):
    """The queue that handlers are fed from.

    `send` returns once the broker has acknowledged; a message with an id that it has seen of
    late may be dropped by it (and so must not matter). `at` None is now.
    """

    def send(self, body: bytes, message_id: str, at: datetime | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that was refused, remembered with its reason."""

    key: str
    received_at: datetime
    reason: str
    findings: tuple[Finding, ...] = ()
    build_id: str | None = None
    told: bool = True  # nothing is left to tell its pipeline


@dataclass(frozen=True, slots=True)
class Stored:
    """A build as read, with the version that `save` compares."""

    build: Build
    version: str


class StatePort(Protocol):
    """Where builds and their secrets are remembered.

    1. `create` stores a new build, and its token apart from it, readable by the host alone;
       false when the key exists: nothing is changed then.
    2. `save` is compare-and-swap: it returns the new `Stored`, or None when the version is not
       the current one any more; nothing is changed then.
    3. `lease` gives `owner` the build for `seconds`, or renews it; false when somebody else holds
       it. `release` gives it back; neither touches the build or its version.
    4. `open_builds` yields the builds that are not completed; its cost follows their number.
    5. `reject` remembers a refused message; the same key again replaces it.
    6. `forget_token` is idempotent; `token` returns None afterwards.
    """

    def create(self, build: Build, token: SecretStr | None) -> bool: ...

    def load(self, key: str) -> Stored | None: ...

    def save(self, build: Build, version: str) -> Stored | None: ...

    def lease(self, key: str, owner: str, seconds: float) -> bool: ...

    def release(self, key: str, owner: str) -> None: ...

    def open_builds(self) -> list[Build]: ...

    def builds(self, limit: int = 100) -> list[Build]: ...

    def token(self, key: str) -> SecretStr | None: ...

    def forget_token(self, key: str) -> None: ...

    def reject(self, rejection: Rejection) -> None: ...

    def rejection(self, key: str) -> Rejection | None: ...

    def rejections(self, limit: int = 100) -> list[Rejection]: ...
