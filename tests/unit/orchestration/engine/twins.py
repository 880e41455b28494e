"""In-memory twins of what the conductor touches, scripted by the test; the files are real."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from handlers.files_handler import FolderFiles
from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.builds import Build, PipelineAddress, RepositoryRequest, Verdict
from mlgate.orchestration.checks import Check, CheckStatus
from mlgate.orchestration.durable import NOW, Envelope, ModelsPort, Rejected, StatePort
from mlgate.orchestration.engine.conductor import Conductor
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.ports import Asked, BackendPort, BuildFiles, Checkout, Ports, Registration
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, RunStatus, Task
from mlgate.orchestration.telling import Completion, Progress, Results
from tests.support.memory import MemoryModels, MemoryService, MemoryState
from tests.unit.orchestration.engine.builders import NOON

COLLECTION = "https://dev.azure.com/contoso/"
TOKEN = "radioactive-token"
PROPERTIES = {
    "PlanUrl": COLLECTION,
    "ProjectId": "11111111-1111-1111-1111-111111111111",
    "HubName": "build",
    "PlanId": "22222222-2222-2222-2222-222222222222",
    "JobId": "33333333-3333-3333-3333-333333333333",
    "TimelineId": "44444444-4444-4444-4444-444444444444",
    "TaskInstanceName": "gate",
    "TaskInstanceId": "55555555-5555-5555-5555-555555555555",
    "AuthToken": TOKEN,
}


class Killed(BaseException):
    """The process ends here."""


class HandClock:
    """Moves when told to, and by every sleep."""

    def __init__(self) -> None:
        self.time = NOON
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True)
class HostClock:
    """A host's own: ahead of the true time, or behind it."""

    true: HandClock
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.true.time + self.ahead

    def sleep(self, seconds: float) -> None:
        self.true.sleep(seconds)


@dataclass
class QueueTwin:
    """Keeps what was sent until the test delivers it; no duplicate detection at all.

    It has the true time, whatever the clocks of those who send.
    """

    clock: HandClock
    messages: list[tuple[datetime, str, bytes]] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def send(self, body: bytes, message_id: str, pause: timedelta = NOW) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.messages.append((self.clock.time + pause, message_id, body))

    def take(self) -> tuple[datetime, str, bytes]:
        """The message that is due first."""
        self.messages.sort(key=lambda message: message[0])
        return self.messages.pop(0)


@dataclass
class BackendTwin:
    """Runs that end as scripted the first time they are looked at."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by run, then by path
    places: int = 1000
    host: str | None = None
    submitted: list[Attempt] = field(default_factory=list)
    canceled: list[Attempt] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    staged: dict[str, dict[str, bytes]] = field(default_factory=dict)  # files of versions
    registered: list[Registration] = field(default_factory=list)
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    endless: bool = False
    on_submit: Callable[[], object] | None = None
    on_collect: Callable[[], object] | None = None
    at_once: int = 1

    def stage(self, checkout: Checkout, request: RepositoryRequest, runs: Sequence[RunSpec]) -> str:
        self._fault("stage")
        return checkout.commit

    def stage_model(self, version: str, folder: Path) -> str:
        self._fault("stage_model")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.staged[version] = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in files
        }
        return version

    def register(self, made: Registration) -> None:
        self._fault("register")
        self.registered.append(made)

    def submit(self, task: Task) -> bool:
        self._fault("submit")
        if task.attempt in self.submitted:
            return True
        if len(self.submitted) >= self.places:
            return False
        if self.on_submit is not None:
            self.on_submit()
        self.submitted.append(task.attempt)
        return True

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        self._fault("look")
        return {attempt: Observation(self._status(attempt)) for attempt in attempts}

    def cancel(self, attempts: Iterable[Attempt]) -> None:
        self._fault("cancel")
        self.canceled += attempts

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        self._fault("collect")
        if self.on_collect is not None:
            self.on_collect()
        for path, content in self.kept.get(task.spec.name, {}).items() if files else ():
            assert files is not None
            files.write(task.attempt.build, f"runs/{task.spec.name}/{path}", content)
        if task.attempt in self.canceled:
            return Outcome(RunStatus.CANCELED)
        return self._scripted(task.attempt)

    def release(self, build: str) -> None:
        self.released.append(build)

    def _status(self, attempt: Attempt) -> RunStatus:
        if attempt in self.canceled:
            return RunStatus.CANCELED
        return RunStatus.RUNNING if self.endless else self._scripted(attempt).status

    def _scripted(self, attempt: Attempt) -> Outcome:
        script = self.outcomes.get(attempt.run, [Outcome(RunStatus.SUCCEEDED)])
        return script[min(attempt.number, len(script)) - 1]

    def _fault(self, call: str) -> None:
        if self.faults.get(call):
            raise self.faults[call].pop(0)


@dataclass
class PipelineTwin:
    """A step that waits; remembers what it was told, also after it had said that it ended."""

    waiting: bool = True
    token: str = TOKEN
    said_ended: bool = False
    told_after_the_end: list[str] = field(default_factory=list)
    shown: list[Progress] = field(default_factory=list)
    published: list[Results] = field(default_factory=list)
    slices: int = 1  # calls that it takes to publish everything
    completions: list[tuple[Completion, bool]] = field(default_factory=list)
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    on_asked: Callable[[], object] | None = None

    def name(self, address: PipelineAddress, token: SecretStr) -> str | None:
        self._called("name", token)
        return "Nightly models"

    def is_waiting(self, address: PipelineAddress, token: SecretStr) -> bool:
        self._called("is_waiting", token)
        if self.on_asked is not None:
            self.on_asked()
        self.said_ended = not self.waiting
        return self.waiting

    def show(self, address: PipelineAddress, token: SecretStr, progress: Progress) -> None:
        self._called("show", token)
        self.shown.append(progress)

    def publish(
        self, address: PipelineAddress, token: SecretStr, results: Results, files: BuildFiles
    ) -> bool:
        if results.verdict is not Verdict.CANCELED:
            self._called("publish", token)
        self.published.append(results)
        return len([each for each in self.published if each.verdict]) >= self.slices

    def complete(
        self,
        address: PipelineAddress,
        token: SecretStr,
        completion: Completion,
        *,
        doubt: bool = False,
    ) -> None:
        self._called("complete", token)
        self.completions.append((completion, doubt))
        self.waiting = False

    def _called(self, call: str, token: SecretStr) -> None:
        assert token.get_secret_value() == self.token
        if self.said_ended:
            self.told_after_the_end.append(call)
        if self.faults.get(call):
            raise self.faults[call].pop(0)


@dataclass
class TreeTwin:
    contents: dict[str, bytes]
    commit: str = "c" * 40
    folder: Path = Path("/nowhere")
    warnings: tuple[str, ...] = ()

    def files(self) -> Sequence[str]:
        return sorted(self.contents)

    def read(self, path: str) -> bytes:
        return self.contents[path]


@dataclass
class RepositoryTwin:
    """`branches` has the commits of each branch, its tip and all ancestors of it."""

    tree: TreeTwin = field(default_factory=lambda: TreeTwin({"train.py": b""}))
    faults: list[BaseException] = field(default_factory=list)
    branches: dict[str, set[str]] = field(default_factory=dict)

    @contextmanager
    def checkout(
        self,
        request: RepositoryRequest,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> Iterator[Checkout]:
        if self.faults:
            raise self.faults.pop(0)
        with self.around(request):
            yield self.tree

    @contextmanager
    def around(self, request: RepositoryRequest) -> Iterator[None]:
        """What else happens in a checkout; for subclasses."""
        yield

    def contains(
        self,
        request: RepositoryRequest,
        commit: str,
        branch: str,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> bool:
        if self.faults:
            raise self.faults.pop(0)
        if branch not in self.branches:
            raise Permanent(f"The branch '{branch}' is not in {request.url}.")
        return commit in self.branches[branch]


class DoctorTwin:
    """Finds what the test says."""

    def __init__(self) -> None:
        self.finds = [Check("queue", CheckStatus.OK, "It takes messages.")]
        self.asked: list[Asked] = []
        self.faults: list[BaseException] = []

    def examine(self, asked: Asked) -> Iterable[Check]:
        self.asked.append(asked)
        if self.faults:
            raise self.faults.pop(0)
        return self.finds


class World:
    """A conductor among twins, with time in the test's hand."""

    def __init__(self, folder: Path, clock: HandClock | None = None) -> None:
        self.clock = clock or HandClock()
        self.queue = QueueTwin(self.clock)
        self.backend = BackendTwin()
        self.pipeline = PipelineTwin()
        self.repository = RepositoryTwin()
        self.doctor = DoctorTwin()
        self.models: ModelsPort = MemoryModels()
        self.service = MemoryService(lambda: self.models)
        self.state: StatePort = MemoryState(self.clock)
        self.files: BuildFiles = FolderFiles(lambda key: folder / "builds" / key)
        self.policy = HostPolicy(
            backend="local",
            allowed_backends=("local",),
            allowed_collections=(COLLECTION,),
            allowed_repositories=(COLLECTION,),
        )
        self._ids = itertools.count()
        self._hosts: dict[timedelta, Conductor] = {}

    def backend_of(self, build: Build) -> BackendPort:
        return self.backend

    @property
    def conductor(self) -> Conductor:
        return self.host()

    def host(self, ahead: timedelta = NOW) -> Conductor:
        """The handler whose clock is so far ahead; the same one for as long as the world lasts."""
        ports = Ports(
            state=self.state,
            queue=self.queue,
            repository=self.repository,
            pipeline=self.pipeline,
            backend=self.backend_of,
            files=self.files,
            clock=HostClock(self.clock, ahead),
            doctor=self.doctor,
            models=lambda: self.models,
            service=self.service,
        )
        host = self._hosts.setdefault(ahead, Conductor(ports, self.policy))
        host.ports, host.policy = ports, self.policy  # the test may have put in others
        return host

    def start(self, *runs: Mapping[str, Any], pipeline: bool = True, **fields: Any) -> str | None:
        """Deliver a start message; returns the build's key, None when it was rejected."""
        envelope = self.envelope(*runs, pipeline=pipeline, **fields)
        rejected = self.conductor.handle(envelope)
        builds = self.state.builds()
        new = [build for build in builds if build.message_id == envelope.message_id]
        return next((build.key for build in (*new, *builds)), None) if rejected is None else None

    def envelope(self, *runs: Mapping[str, Any], pipeline: bool = True, **fields: Any) -> Envelope:
        message = {
            "version": 1,
            "repository": {"url": "https://dev.azure.com/contoso/p/_git/r"},
            "runs": [
                run if "kind" in run else {"kind": "training", "command": "true", **run}
                for run in runs
            ],
            **fields,
        }
        if "kind" in message:
            del message["runs"]
        if message.get("kind") in ("promote", "rollback"):
            del message["repository"]
        properties = PROPERTIES if pipeline else {}
        message_id = f"id-{next(self._ids)}"
        return Envelope(
            json.dumps(message).encode(), properties, message_id, enqueued_at=self.clock.time
        )

    def deliver(self, delivery_count: int = 1, host: Conductor | None = None) -> Rejected | None:
        """Deliver the next message, moving time on to when it is due."""
        at, message_id, body = self.queue.take()
        self.clock.time = max(self.clock.time, at)
        envelope = Envelope(body, {}, message_id, delivery_count, at)
        return (host or self.conductor).handle(envelope)

    def run_to_end(self, most: int = 200) -> None:
        """Deliver until the queue is empty."""
        for _ in range(most):
            if not self.queue.messages:
                return
            self.deliver()
        raise AssertionError(f"still busy after {most} messages")

    def build(self, key: str) -> Build:
        stored = self.state.load(key)
        assert stored is not None
        return stored.build
