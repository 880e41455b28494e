"""One build's state as a value.

    received -> watching -> promoting -> completing -> completed

`received`: stored; the commit is to be staged and the runs are to be found in it.
`watching`: runs are submitted in slices as their needs pass and places are free, and looked at.
`promoting`: the gate passed, and the model that the build offers is weighed against the current
    version, copied, and entered in the model's log; only for builds that ask for it.
`completing`: the verdict is decided and recorded; then the build's files are written, its results
    published, and its completion posted and confirmed, each as well as it can be.
`completed`: the build is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from mlgate.orchestration.checks import Check
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.promotions import Promotion, PromotionRequest
from mlgate.orchestration.runs import Attempt, CellEvent, Failure, RunSpec, RunStatus, Task


class Phase(StrEnum):
    RECEIVED = "received"
    WATCHING = "watching"
    PROMOTING = "promoting"
    COMPLETING = "completing"
    COMPLETED = "completed"


class Verdict(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class TroubleKind(StrEnum):
    """What kind of trouble it is: whether trying again can help."""

    TEMPORARY = "temporary"  # does not answer now
    UNFIT = "unfit"  # this host lacks something, which it may be given
    PERMANENT = "permanent"  # said no
    BUG = "bug"  # nobody foresaw it


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a step of a build, or of one run, failed: `times` in a row since `since`.

    `borne` and `pause` are seconds: the wait before this last time, `met_at`, and the wait that
    follows it. They are added up because hosts whose clocks differ take turns.
    Forgotten when that step succeeds and when the build's phase changes.
    """

    step: str
    kind: TroubleKind
    since: datetime
    times: int
    what: str  # the last of it, a sentence
    borne: float = 0.0
    pause: float = 0.0
    met_at: datetime | None = None


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
    """One run: what was asked for, and the state of its current attempt.

    `submitted`: the current attempt was handed to the backend. `ended`: the backend saw it end;
    its outcome and files are collected next. Both false again when the next attempt begins.
    """

    spec: RunSpec
    status: RunStatus = RunStatus.QUEUED
    attempt: int = 1
    submitted: bool = False
    submitted_at: datetime | None = None
    ended: bool = False  # the backend saw this attempt end; its outcome is not collected yet
    not_before: datetime | None = None  # it is not submitted, or once it ended collected, earlier
    troubles: tuple[Trouble, ...] = ()  # in the way of submitting or collecting this attempt
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cells: tuple[CellEvent, ...] = ()
    cells_total: int | None = None
    activity: str | None = None
    failure: Failure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()  # what else of this attempt the build's files hold
    warnings: tuple[str, ...] = ()
    studio_url: str | None = None

    @property
    def unsubmitted(self) -> bool:
        """To be handed to the backend, now or later."""
        return self.status is RunStatus.QUEUED and not self.submitted

    @property
    def waits(self) -> bool:
        """To be submitted, or to be collected."""
        return self.unsubmitted or (self.ended and not self.status.ended)

    @property
    def over(self) -> bool:
        """Its attempt has ended, as far as we know, collected or not."""
        return self.ended or self.status.ended

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
    """`condition`: "all_pass", "any_pass", or the least number of runs that must pass.

    `added` names runs that nobody asked for: "all_pass" includes them, a number does not.
    """

    condition: str | int = "all_pass"
    metrics: tuple[GateMetric, ...] = ()
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricCheck:
    """A gate metric with its result; `value` None when missing (NaN counts as missing)."""

    metric: GateMetric
    value: float | None
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Build:
    """`key` identifies it (lower-case hex); `build_id` is what people see.

    `request` is the public message as it came (never a token in it), `body` its fingerprint, and
    `message_id` the queue's id of it. `look` numbers the follow-up messages: only the one with the
    current number acts. `begun` counts how often each step began without its end being saved:
    hosts died in it.
    """

    key: str
    build_id: str
    request: Mapping[str, Any]
    repository: RepositoryRequest | None  # None for the kinds that need none
    backend: str
    received_at: datetime
    deadline: datetime
    message_id: str = ""
    body: str = ""
    workspace: str | None = None  # subscription/resource-group/name
    pipeline: PipelineAddress | None = None
    pipeline_name: str | None = None
    phase: Phase = Phase.RECEIVED
    look: int = 0
    next_look_at: datetime | None = None
    host: str | None = None  # the machine that local runs belong to
    commit: str | None = None
    snapshot: str | None = None  # the backend's own name for the staged commit
    current_model: str | None = None  # and for the current version's files, where runs find them
    runs: tuple[RunState, ...] = ()
    gate: Gate = field(default_factory=Gate)
    warnings: tuple[str, ...] = ()
    cancel_requested: str | None = None  # the reason, once somebody asked
    pipeline_ended: bool = False  # nothing may be posted any more
    pipeline_asked_at: datetime | None = None
    ended_at: datetime | None = None  # every run was seen to have ended
    ending_since: datetime | None = None  # canceled, pipeline gone, or past the deadline
    percent: int = 0  # as last shown, never less than before
    log_lines: int = 0  # lines of the live log so far
    begun: Mapping[str, int] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    findings: tuple[Finding, ...] = ()  # of an invalid plan in the repository
    infrastructure: bool = False  # failed, and the message and the repository are not at fault
    verdict: Verdict | None = None
    reason: str = ""
    gate_passed: str | None = None  # what the gate said when it passed
    metric_checks: tuple[MetricCheck, ...] = ()
    promote: PromotionRequest | None = None  # the model that it offers
    current_version: str | None = None  # of that model, as its runs found it
    promotion: Promotion | None = None  # the promotion of that, or a rollback
    checks: tuple[Check, ...] = ()  # of a build of kind `check`, which has no runs
    written: tuple[str, ...] = ()  # files of the build that are there, or were given up
    hindered: float = 0.0  # seconds that failures have kept the files and results of ended runs
    published: bool = False  # the pipeline has all the results it will get
    completion_posted: bool = False  # a completion may have arrived: read before posting again
    finished_at: datetime | None = None

    @property
    def open(self) -> bool:
        return self.phase is not Phase.COMPLETED

    @property
    def kind(self) -> str:
        """Of its message: "start", or one of those that run nothing."""
        return str(self.request.get("kind", "start"))

    @property
    def is_check(self) -> bool:
        """Whether it is to try what other builds will need, and to run nothing."""
        return self.kind == "check"

    @property
    def subject(self) -> str:
        """What it is about, for people: its repository, or the model where there is none."""
        if self.repository is not None:
            return self.repository.url
        return str(self.request.get("model", ""))

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
            self.commit,
            self.current_model,
            len(self.runs),
        )
