"""The ports: what the conductor asks of the outside, one Protocol per outside thing. Those that
outlive every handler, the queue and the state, are in `durable`.

Each contract is numbered prose; one suite of tests holds every implementation to it. All methods
may raise `Temporary` (does not answer now) or `Permanent` (said no), with a sentence for people,
and must not raise anything else for a fault of the outside. Times are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from mlgate.orchestration.builds import Build, PipelineAddress, RepositoryRequest
from mlgate.orchestration.checks import Check
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import ModelsPort, QueuePort, StatePort
from mlgate.orchestration.models import Manifest
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task
from mlgate.orchestration.telling import Completion, Progress, Results

READ_LIMIT = 32 << 20  # bytes of a file that is read as a whole


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
    2. Must be idempotent: a commit already cached is not fetched again. It is served only to
       callers that its server allowed to read it within the last minutes.
    3. A repository, ref or subdirectory that is not there, or access refused: `Permanent` that
       names it and the remedy. A server that does not answer: `Temporary`.
    4. Nothing of the repository is executed (hooks, filters, config), nobody is prompted, and
       no credential appears in a URL on disk, an argument, a log or an exception.
    5. `token` is the pipeline job's own, used only for Azure Repos in the build's collection. Where
       it is refused, everything else the host has for the repository is tried; when all of it is
       refused, the error has the remedy of each.
    6. `contains` says whether `commit`, a full SHA, is the tip of `refs/heads/<branch>` or an
       ancestor of it, as the server has that branch now; no other ref counts. Nothing else of
       `request` than its URL matters, and 2 to 5 hold. A name that git refuses, or a branch that
       is not there: `Permanent`. A history that the server does not have as a whole may prove
       True; it is an error and never False.
    """

    def checkout(
        self,
        request: RepositoryRequest,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> AbstractContextManager[Checkout]: ...

    def contains(
        self,
        request: RepositoryRequest,
        commit: str,
        branch: str,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> bool: ...


class BuildFiles(Protocol):
    """Where a build's files go: one folder per build, paths relative to it, with `/`.

    1. `write` and `copy` are atomic: a reader sees the old file, the new one, or none. What raises
       while the parts of a file are made leaves the old file.
    2. Must be idempotent: the same path again replaces the file.
    3. `write` takes the content as one part or as many, and holds few of them at a time.
    4. `read` of a path that is not there, or that holds more than `most` bytes, returns None.
    5. `parts` yields a file's content, a part at a time; `Permanent` for a path that is not there.
    6. `tail` returns the last `most` bytes, or fewer; nothing for a path that is not there.
    7. `list` names the files below a folder, all of the build's for "".
    8. `location` is shown to people: a folder or a URL.
    """

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None: ...

    def copy(self, build: str, path: str, source: Path) -> None: ...

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None: ...

    def parts(self, build: str, path: str) -> Iterator[bytes]: ...

    def tail(self, build: str, path: str, most: int) -> bytes: ...

    def list(self, build: str, folder: str = "") -> list[str]: ...

    def location(self, build: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A model that an attempt has kept, at `path` among what it kept, with `/`; "." is all of it.
    `format` is that of its manifest."""

    attempt: Attempt
    path: str
    format: str


@dataclass(frozen=True, slots=True)
class Registration:
    """A version that an entry of a model's log has made the current one, as a backend lists it.

    `kept` is None where that is not known any more; `replaces` is the id of the version that was
    current before. `current` is false once a later entry has made another one current. Without
    `create` only versions that are listed are marked. `tags` are what people look for it by.
    """

    model: str
    version: str  # its id
    kept: Kept | None
    replaces: str | None = None
    rolled_back: bool = False  # the entry goes back: what it replaces was withdrawn
    number: int = 0  # of the entry
    current: bool = True
    create: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)


class BackendPort(Protocol):
    """Where runs execute.

    1. `stage` stores a clean tree, with the files that the environments of `runs` are made of,
       and returns the backend's own name for it, valid for every later `submit` of the build,
       from any process of the same `host`. Must be idempotent: the same commit and subdirectory
       cost nothing the second time.
    2. `submit` starts an attempt or finds it: an attempt is never executed twice, even after a
       crash in between. False: there is no free place now, nothing was started.
    3. `look` reports each attempt that was submitted; one that should be there and is not is
       reported as FAILED (its outcome is `infrastructure`). Status is never SKIPPED.
    4. `cancel` requests the end of attempts and returns at once; they are CANCELED later.
       Must be idempotent, also for attempts that have ended or never began; one that was never
       submitted may be unknown afterwards.
    5. `collect` copies an ended attempt's kept files to `runs/<name>/` of the build's files, and
       returns its outcome, which names them. Must be idempotent. With `files` None its outcome
       alone, which needs as little of this host as can be: no file of the run is fetched.
    6. `release` frees what only an open build needs (folders, snapshots). Must be idempotent.
    7. `host`: None when any host can do all this, else the name of this one, to which the
       attempts belong.
    8. `at_once`: how many calls of `submit`, or of `collect`, may be under way at the same time,
       each in a thread of its own.
    9. `stage_model` stores the files of a model's version, which are the same for the same id,
       and returns the backend's own name for it, valid as long as that of `stage`. Must be
       idempotent: files that are there are not copied again. A run whose task has that name finds
       them in the folder that `MLGATE_CURRENT_MODEL` names, and cannot change them for other runs.
    10. `register` has the backend's own list of models name the version and the job that kept it,
        and marks it as the only current one of its model, unless one of a later entry is listed.
        It ends within a minute. Must be idempotent: a version that is listed is not listed again.
        What others listed stays as it is: `Permanent` where that is in the way. Does nothing where
        there is no such list.
    """

    @property
    def host(self) -> str | None: ...

    @property
    def at_once(self) -> int: ...

    def stage(
        self, checkout: Checkout, request: RepositoryRequest, runs: Sequence[RunSpec]
    ) -> str: ...

    def stage_model(self, version: str, folder: Path) -> str: ...

    def register(self, made: Registration) -> None: ...

    def submit(self, task: Task) -> bool: ...

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]: ...

    def cancel(self, attempts: Iterable[Attempt]) -> None: ...

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome: ...

    def release(self, build: str) -> None: ...


class PipelinePort(Protocol):
    """The pipeline step that waits.

    1. `is_waiting` is false once the step, its job or its plan has ended, no matter who ended it.
    2. `show` is best effort, and may leave what would exceed the rate limit to the next call. It is
       called with every look, and sends nothing when there is nothing new; so does `publish`
       without a verdict.
    3. `complete` returns once the pipeline has confirmed the completion; it raises `Temporary`
       when that is not known. With `doubt`, a completion may have arrived before: the
       pipeline's record is read first, and nothing is posted to a step that has ended.
    4. Each refuses an address that this host does not allow before any network I/O: `Permanent`.
    5. A token the pipeline no longer accepts, and no identity of the host's to fall back on:
       `Permanent`.
    6. `publish` adds what the pipeline does not have yet of `results`: a test run with a result
       for each run and its files, and with the verdict the rest; then the test run is completed.
       Must be idempotent: after a crash in between, nothing is there twice. False: there is more
       to add than one call should take; call again.
    7. `publish` with the verdict canceled, or to a step that has ended, adds nothing: a test run
       that was begun is marked as aborted.
    8. If `publish` can never do one part, it still does the others; one `Permanent` reports it in
       the end.
    9. `name` is what people call the pipeline; None if unknown.
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
class Health:
    """What `GET /health` of a server says: its model, the version that serves and its entry's
    number, both None while none does; and the number of an entry that is held back, with the
    reason, which may pass unless the status is "held_back"."""

    status: str
    model: str | None = None
    id: str | None = None
    number: int | None = None
    held_back: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a version's example: the number of the entry whose version gave it, None where
    it does not say; the version's name, `model@id`; and what is wrong with it, a sentence."""

    number: int | None
    name: str = ""
    wrong: str | None = None


class ServicePort(Protocol):
    """A server of a model, as its callers see it.

    1. `answer` sends the version's example to `POST /predict`. Wrong is each answer that is an
       error of the model's, or that differs from the one on record, where there is one.
    2. What does not answer, or says that it cannot now, is `Temporary`; what is not a server of
       models, or does not accept this host's key, is `Permanent`.
    3. An address that this host does not allow is refused before any network I/O: `Permanent`. No
       redirect is followed, and an answer is read up to a limit, within some seconds.
    """

    def health(self, url: str) -> Health: ...

    def answer(self, url: str, version: Manifest) -> Answered: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be tried: the things that a build with these choices would need."""

    backend: str
    workspace: str | None = None  # subscription/resource-group/name
    repository: RepositoryRequest | None = None
    pipeline: PipelineAddress | None = None
    token: SecretStr | None = field(default=None, repr=False)


class DoctorPort(Protocol):
    """What builds will need of the outside, tried with this host's settings and identities.

    1. `examine` makes every check there is, in an order in which one needs those before it.
    2. It raises nothing for what is wrong outside: a check says so.
    3. It leaves nothing behind, neither here nor outside; it may be called at any time.
    """

    def examine(self, asked: Asked) -> Iterable[Check]: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside. `backend` gives the one that a build asked for; it and `models` are made
    when first used."""

    state: StatePort
    queue: QueuePort
    repository: RepositoryPort
    pipeline: PipelinePort
    backend: Callable[[Build], BackendPort]
    files: BuildFiles
    clock: Clock
    doctor: DoctorPort
    models: Callable[[], ModelsPort]
    service: ServicePort
