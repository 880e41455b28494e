"""One build's state as a value.

    received -> watching -> completing -> completed

`received`: stored; the commit is to be staged and the runs are to be found in it.
`watching`: runs are submitted in slices as their needs pass and places are free, and looked at.
`completing`: the verdict is decided and recorded, its completion not yet confirmed.
`completed`: nothing will happen any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from mlgate.orchestration.errors import Finding
from mlgate.orchestration.runs import Attempt, CellEvent, Failure, RunSpec, RunStatus, Task


class Phase(StrEnum):
    RECEIVED = "received"
    WATCHING = "watching"
    COMPLETING = "completing"
    COMPLETED = "completed"


class Verdict(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class PipelineAddress:
    """The waiting step's coordinates: the task's application properties, less the token."""

    plan_url: str
    project_id: str
    hub_name: str
    plan_id: str
    job_id: str
    timeline_id: str
    task_instance_id: str
    task_instance_name: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryRequest:
    """`ref` None is the default branch; `subdirectory` is "." for the whole."""

    url: str
    ref: str | None = None
    subdirectory: str = "."
    submodules: bool = False
    lfs: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """One run: what was asked and where its current attempt stands.

    `submitted`: the current attempt was handed to the backend. `ended`: the backend saw it end;
    its outcome and files are collected next. Both false again when the next attempt begins.
    """

    spec: RunSpec
    status: RunStatus = RunStatus.QUEUED
    attempt: int = 1
    submitted: bool = False
    submitted_at: datetime | None = None
    ended: bool = False  # the backend saw this attempt end; its outcome is not collected yet
    not_before: datetime | None = None  # it is not submitted earlier
    refusals: int = 0  # of this attempt, which the host may not submit
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cells: tuple[CellEvent, ...] = ()
    cells_total: int | None = None
    activity: str | None = None
    failure: Failure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    studio_url: str | None = None

    @property
    def collected(self) -> bool:
        """Whether the build's files hold what this attempt left."""
        return self.submitted and self.ended and self.status.ended

    @property
    def unsubmitted(self) -> bool:
        """To be handed to the backend, now or later."""
        return self.status is RunStatus.QUEUED and not self.submitted

    @property
    def active(self) -> bool:
        """Handed to the backend and, as far as we know, still there."""
        return self.submitted and not self.ended and not self.status.ended


@dataclass(frozen=True, slots=True)
class GateMetric:
    """`run`'s `metric` must be at least or at most `bound`."""

    run: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """`condition`: "all_pass", "any_pass", or the least number of runs that must pass."""

    condition: str | int = "all_pass"
    metrics: tuple[GateMetric, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricCheck:
    """A gate metric with what came of it; `value` None when missing (NaN counts as missing)."""

    metric: GateMetric
    value: float | None
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Build:
    """`key` identifies it (lower-case hex); `build_id` is what people see.

    `request` is the public message as it came (never a token in it). `generation` and `look`
    number the follow-up messages: only the one with both current numbers may act.
    """

    key: str
    build_id: str
    request: Mapping[str, Any]
    repository: RepositoryRequest
    backend: str
    received_at: datetime
    deadline: datetime
    workspace: str | None = None  # subscription/resource-group/name
    pipeline: PipelineAddress | None = None
    pipeline_name: str | None = None
    phase: Phase = Phase.RECEIVED
    generation: int = 0
    look: int = 0
    next_look_at: datetime | None = None
    host: str | None = None  # the machine that local runs belong to
    commit: str | None = None
    snapshot: str | None = None  # the backend's own word for the staged commit
    runs: tuple[RunState, ...] = ()
    gate: Gate = field(default_factory=Gate)
    warnings: tuple[str, ...] = ()
    cancel_requested: str | None = None  # the reason, once somebody asked
    pipeline_ended: bool = False  # nothing may be posted any more
    pipeline_asked_at: datetime | None = None
    ending_since: datetime | None = None  # canceled, pipeline gone, or past the deadline
    percent: int = 0  # as last shown, never less than before
    log_lines: int = 0  # lines of the live log so far
    preparations: int = 0  # begun since one last came to an end, a good or a bad one
    errors: int = 0  # consecutive faults of one kind, of ours or of the cloud
    error_kind: str | None = None
    last_error: str | None = None
    findings: tuple[Finding, ...] = ()  # of a plan in the repository that cannot be followed
    infrastructure: bool = False  # failed through no fault of the message or the repository
    verdict: Verdict | None = None
    reason: str = ""
    metric_checks: tuple[MetricCheck, ...] = ()
    published: bool = False  # the pipeline has all the results it will get
    completion_posted: bool = False  # a completion may have arrived: read before posting again
    finished_at: datetime | None = None

    @property
    def open(self) -> bool:
        return self.phase is not Phase.COMPLETED

    def run(self, name: str) -> RunState:
        return next(run for run in self.runs if run.spec.name == name)

    def with_run(self, changed: RunState) -> Build:
        """The same build with the run of that name replaced."""
        name = changed.spec.name
        return replace(
            self, runs=tuple(changed if run.spec.name == name else run for run in self.runs)
        )

    def attempt_of(self, run: RunState) -> Attempt:
        return Attempt(self.key, run.spec.name, run.attempt)

    def task_of(self, run: RunState) -> Task:
        """Everything a backend needs for the run's current attempt; the commit is staged."""
        assert self.snapshot is not None
        inputs = {name: self.attempt_of(self.run(name)) for name in run.spec.needs}
        return Task(
            self.attempt_of(run),
            run.spec,
            self.snapshot,
            self.build_id,
            inputs,
            self.pipeline_name,
        )
