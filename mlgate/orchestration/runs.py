"""The nouns of one run: what was asked, what is seen of an attempt, how it ended."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Parameters = Mapping[str, Any]  # JSON values, as papermill takes them
_NOTE = re.compile(r"Attempt \d+ failed \((\w+)\): ")


class RunKind(StrEnum):
    NOTEBOOK = "notebook"
    TRAINING = "training"
    SERVING = "serving"


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


class FailureKind(StrEnum):
    """Why a run failed, sorted by who has to act on it."""

    CODE = "code"
    DEPENDENCY = "dependency"
    ENVIRONMENT = "environment"
    DATA = "data"
    NETWORK = "network"
    TIMEOUT = "timeout"
    KERNEL_DIED = "kernel_died"
    OUT_OF_MEMORY = "out_of_memory"
    PREEMPTED = "preempted"
    INVALID = "invalid"
    INFRASTRUCTURE = "infrastructure"

    @property
    def transient(self) -> bool:
        """Whether trying again may help, so that `retries` are spent on it."""
        return self in (
            FailureKind.NETWORK,
            FailureKind.PREEMPTED,
            FailureKind.KERNEL_DIED,
            FailureKind.INFRASTRUCTURE,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """`cell` counts code cells from 1; `traceback` is plain text without ANSI colours."""

    kind: FailureKind
    message: str
    cell: int | None = None
    traceback: str | None = None

    def note(self, attempt: int) -> str:
        """The warning that a run keeps of an attempt that failed like this, and was retried."""
        return f"Attempt {attempt} failed ({self.kind}): {self.message}"


def noted(warnings: Iterable[str]) -> list[FailureKind]:
    """The kinds of failure in a run's notes of earlier attempts, in order."""
    notes = filter(None, map(_NOTE.match, warnings))
    return [FailureKind(note[1]) for note in notes if note[1] in set(FailureKind)]


@dataclass(frozen=True, slots=True)
class Environment:
    """Files are relative to the repository's subdirectory; a backend uses what it can."""

    requirements: str | None = None
    conda_file: str | None = None
    image: str | None = None
    azureml: str | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """Azure ML's own names; ignored by the local backend."""

    instance_type: str | None = None
    instance_count: int | None = None
    shm_size: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """`users` callers of a served model, `spawn_rate` more each second, for so many `seconds`.

    `locustfile` is a file of the repository. `may_fail`: the gate judges requests that fail.
    """

    users: int = 10
    spawn_rate: float = 10
    seconds: float = 15
    locustfile: str | None = None
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run as asked for: names are final, globs expanded, defaults filled in.

    `path` and `directory` are relative to the repository's subdirectory, with `/`;
    `directory` is the working directory ("." for the root). Durations say their unit.

    A serving run tries the model that the run `model` kept: `path` and `example` are then relative
    to what that run kept; None is the one that is recognised there. `requests` is a file of the
    repository. `must_answer`: it fails when there is nothing to ask the model.
    """

    name: str
    kind: RunKind
    path: str | None = None
    command: str | None = None
    parameters: Parameters = field(default_factory=dict)
    kernel: str | None = None
    cell_timeout_seconds: float = 1200
    directory: str = "."
    environment: Environment | None = None
    compute: str | None = None
    resources: Resources | None = None
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    timeout_minutes: float = 60
    retries: int = 0
    needs: tuple[str, ...] = ()
    model: str | None = None
    example: str | None = None
    requests: str | None = None
    must_answer: bool = False
    load: Load | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one run of one build; everything idempotent is keyed by it."""

    build: str
    run: str
    number: int  # from 1

    @property
    def id(self) -> str:
        """Short enough for a job name or a folder, and the same wherever it is computed.

        A run's name may have 63 characters, so it is cut and made unique by a hash:
        what comes out matches `[a-z0-9][a-z0-9_-]*` and has at most 64 characters.
        """
        digest = hashlib.sha256(f"{self.build}/{self.run}/{self.number}".encode()).hexdigest()[:8]
        return f"{self.build[:12]}-{self.run[:32]}-{self.number}-{digest}"


@dataclass(frozen=True, slots=True)
class Task:
    """An attempt with all that a backend needs in order to start it.

    `snapshot` is what the backend's own `stage` returned for the commit; `inputs` maps the
    name of each needed run to the attempt whose kept outputs it finds. `pipeline` is the name of
    the one that waits, and `commit` the full SHA, which builds of earlier versions may lack.
    `current_model` is what `stage_model` returned for the version that the run finds, if any.
    `of` is how many runs the build has.
    """

    attempt: Attempt
    spec: RunSpec
    snapshot: str
    build_id: str
    inputs: Mapping[str, Attempt] = field(default_factory=dict)
    pipeline: str | None = None
    commit: str | None = None
    current_model: str | None = None
    of: int = 1


@dataclass(frozen=True, slots=True)
class CellEvent:
    """A finished code cell of a running notebook; `number` counts code cells from 1."""

    number: int
    seconds: float
    status: str  # "succeeded", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a backend sees of an attempt at one moment."""

    status: RunStatus
    started_at: datetime | None = None
    cells: tuple[CellEvent, ...] = ()
    cells_total: int | None = None
    activity: str | None = None  # what goes on before the run starts, e.g. "creating environment"
    studio_url: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. A failed notebook is a value of this, never an exception of ours.

    `outputs` are paths relative to the build's folder, with `/`, sorted; so is `evidence`, what
    this attempt left beside them: its log and its executed notebook.
    """

    status: RunStatus
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Failure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    studio_url: str | None = None
