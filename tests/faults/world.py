"""Hosts, a broker, a store, a backend and a pipeline on simulated time, and what became of a build.

Each host has a clock of its own. Each message may come twice, the second copy late; a sweep by
another host comes between any two deliveries; a process that is killed keeps its lease until that
is over, and its message until the lock is.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr, TypeAdapter

from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.builds import Build, PipelineAddress, Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.engine.conductor import Conductor
from mlgate.orchestration.ports import BuildFiles, Checkout, Ports, Registration
from mlgate.orchestration.runs import (
    Attempt,
    Failure,
    FailureKind,
    Observation,
    Outcome,
    RunKind,
    RunSpec,
    RunStatus,
    Task,
)
from mlgate.orchestration.telling import Completion, Progress, Results
from tests.faults import renderers
from tests.faults.faulty import Killed, Point, Process, Strikes
from tests.faults.models import (
    CONTENT,
    MANIFEST,
    Models,
    message_back,
    policy_for,
    promote_of,
    service_for,
    store_for,
)
from tests.support.memory import MemoryFiles, MemoryState
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.twins import (
    COLLECTION,
    PROPERTIES,
    DoctorTwin,
    HandClock,
    HostClock,
    RepositoryTwin,
    TreeTwin,
)

MINUTE = timedelta(minutes=1)
LOCK = timedelta(seconds=30)  # a message stays with a process that was killed
SWEEP = timedelta(seconds=15)
MOST_DELIVERIES = 10
MOST_MESSAGES = 40_000  # deliveries, and
MOST_QUEUED = 500  # messages at a time: with more, a build is busy with nothing
DURATIONS = {"a": 40, "b": 60, "c": 30}  # seconds of an attempt
RUNS = (
    {"name": "a", "kind": "notebook", "path": "a.ipynb", "retries": 1},
    {"name": "b", "kind": "notebook", "path": "a.ipynb", "needs": ["a"]},
    {"name": "c", "kind": "training", "command": "true"},
)
NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {
                "cell_type": "code",
                "id": "one",
                "metadata": {},
                "source": "1/0",
                "execution_count": 1,
                "outputs": [],
            }
        ],
    }
).encode()


@dataclass
class Queued:
    at: datetime
    message_id: str
    body: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    deliveries: int = 0
    enqueued_at: datetime | None = None


@dataclass
class Broker:
    clock: HandClock
    queued: list[Queued] = field(default_factory=list)
    dead: list[Queued] = field(default_factory=list)
    sent: int = 0

    def send(self, body: bytes, message_id: str, pause: timedelta = timedelta(0)) -> None:
        self.sent += 1
        self.queued.append(Queued(self.clock.time + pause, message_id, body))


@dataclass
class Compute:
    """Executes attempts: the first one of `a` fails, `endless` ones go on until canceled."""

    clock: HandClock
    host: str | None = None
    endless: tuple[str, ...] = ()
    at_once: int = 1
    began: dict[Attempt, datetime] = field(default_factory=dict)
    canceled: dict[Attempt, datetime] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    registered: dict[str, Registration] = field(default_factory=dict)

    def stage(self, checkout: Checkout, request: object, runs: Sequence[RunSpec]) -> str:
        return checkout.commit

    def stage_model(self, version: str, folder: object) -> str:
        return version

    def register(self, made: Registration) -> None:
        self.registered[made.version] = made

    def submit(self, task: Task) -> bool:
        self.began.setdefault(task.attempt, self.clock.time)
        return True

    def ends(self, attempt: Attempt) -> datetime | None:
        began = self.began.get(attempt)
        if began is None or attempt.run in self.endless:
            return None
        return began + timedelta(seconds=DURATIONS.get(attempt.run, 40))

    def status(self, attempt: Attempt) -> RunStatus:
        ends, canceled = self.ends(attempt), self.canceled.get(attempt)
        if attempt not in self.began:
            return RunStatus.FAILED
        if ends is not None and self.clock.time >= ends and (canceled is None or canceled >= ends):
            transient = (attempt.run, attempt.number) == ("a", 1)
            return RunStatus.FAILED if transient else RunStatus.SUCCEEDED
        return RunStatus.CANCELED if canceled is not None else RunStatus.RUNNING

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        return {each: Observation(self.status(each)) for each in attempts}

    def cancel(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            self.canceled.setdefault(attempt, self.clock.time)

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        status = self.status(task.attempt)
        failure = None
        if status is RunStatus.FAILED:
            failure = Failure(FailureKind.NETWORK, "The network was away.", 1, "Traceback ...")
        evidence = []
        if files is not None and task.spec.kind is RunKind.SERVING:
            record = json.dumps({**json.loads(MANIFEST.content), "folder": "outputs"}).encode()
            files.write(task.attempt.build, f"runs/{task.spec.name}/outputs/model.json", record)
        if files is not None and task.spec.name == "c":
            files.write(task.attempt.build, "runs/c/outputs/model.pkl", CONTENT)
        if files is not None:
            folder = f"runs/{task.spec.name}"
            files.copy(task.attempt.build, f"{folder}/log.txt", Path(__file__))
            files.write(task.attempt.build, f"{folder}/executed.ipynb", NOTEBOOK)
            evidence = [f"{folder}/executed.ipynb", f"{folder}/log.txt"]
        return Outcome(status, failure=failure, evidence=tuple(evidence))

    def release(self, build: str) -> None:
        self.released.append(build)


@dataclass
class Step:
    """The pipeline's step that waits."""

    clock: HandClock
    waiting: bool = True
    told: list[tuple[datetime, Completion]] = field(default_factory=list)
    told_in_vain: int = 0  # completions of a step that did not wait any more

    def name(self, address: PipelineAddress, token: SecretStr) -> str | None:
        return "Nightly"

    def is_waiting(self, address: PipelineAddress, token: SecretStr) -> bool:
        return self.waiting

    def show(self, address: PipelineAddress, token: SecretStr, progress: Progress) -> None: ...

    def publish(
        self, address: PipelineAddress, token: SecretStr, results: Results, files: BuildFiles
    ) -> bool:
        return True

    def complete(
        self,
        address: PipelineAddress,
        token: SecretStr,
        completion: Completion,
        *,
        doubt: bool = False,
    ) -> None:
        if doubt and not self.waiting:
            return
        self.told_in_vain += not self.waiting
        self.told.append((self.clock.time, completion))
        self.waiting = False


@dataclass(frozen=True)
class Story:
    """What happens to the build besides faults; times in minutes after its message was sent."""

    name: str
    endless: tuple[str, ...] = ()
    canceled_at: float | None = None  # by its pipeline
    cancel_at: float | None = None  # by `mlgate cancel`
    host: str | None = None  # that its local runs belong to ...
    gone_at: float | None = None  # ... and that is gone for good
    invalid: bool = False  # the message cannot be understood
    again: bool = False  # the step is run again, with the same identity, once it was told
    models: Models | None = None  # what becomes of what `c` kept
    others: int = 0  # that many notebooks beside the three runs


class World:
    """Two hosts, `ahead` of the true time by so much each; `host` is a process that is there."""

    def __init__(
        self,
        story: Story,
        ahead: tuple[timedelta, timedelta],
        point: Point | None = None,
        seed: int = 0,
    ) -> None:
        self.story = story
        self.clock = HandClock()
        self.broker = Broker(self.clock)
        self.state = MemoryState(self.clock)
        self.files = MemoryFiles()
        self.models = store_for(story.models)
        self.service = service_for(story.models, self.models)
        self.compute = Compute(self.clock, host=story.host, endless=story.endless)
        self.step = Step(self.clock)
        others = [
            {"name": f"other-{number}", "kind": "notebook", "path": "a.ipynb"}
            for number in range(story.others)
        ]
        promote = {"promote": promote_of(story.models)} if story.models else {}
        plan = json.dumps({"runs": [*RUNS, *others], **promote}).encode()
        self.repository = RepositoryTwin(TreeTwin({"a.ipynb": NOTEBOOK, "plan.json": plan}))
        self.repository.branches["main"] = {self.repository.tree.commit}
        self.strikes = Strikes(point, self.clock.sleep)
        self.deliveries = 0
        self.again_at: datetime | None = None
        self.kills: list[datetime] = []
        self.random = random.Random(seed)
        self._ahead = ahead
        self._swept = NOON
        self._processes = [self._process(0), self._process(1)]
        self._turn = itertools.cycle((0, 1))
        self._now_at = 0
        self._conductors: dict[int, tuple[Process, Conductor]] = {}

    def run(self, until: datetime) -> Build | None:
        """Let the build go on until it has ended, or until then; returns it as it is."""
        self._start("start")
        with renderers.struck(self._render):
            while self.clock.time < until and self.is_busy_with_something:
                if self._is_over():
                    break
                self._go_on()
        return self._build()

    @property
    def is_busy_with_something(self) -> bool:
        return self.deliveries < MOST_MESSAGES and len(self.broker.queued) < MOST_QUEUED

    def _start(self, message_id: str) -> None:
        message: dict[str, object] = {
            "version": 1,
            "repository": {"url": f"{COLLECTION}p/_git/r"},
            "runs_from": "plan.json",
        }
        if self.story.models is Models.BACK:
            message = message_back()
        if self.story.invalid:
            message["runs_form"] = message.pop("runs_from")
        body = json.dumps(message).encode()
        self.broker.queued.append(Queued(self.clock.time, message_id, body, PROPERTIES))

    def _is_over(self) -> bool:
        build = self._build()
        over = bool(self.step.told) if self.story.invalid else build is not None and not build.open
        if not over or self.broker.queued or self.broker.dead:
            return False
        if self.story.again and self.again_at is None:
            self.again_at = self.clock.time
            self.step.waiting = True
            self._start("again")
            return False
        return not self.story.again or len(self.step.told) > 1

    def _build(self) -> Build | None:
        return next((stored.build for stored in self.state.stored.values()), None)

    def _render(self, place: str, act: Any) -> Any:
        return self._processes[self._now_at].call("renderer", place, act)

    def _go_on(self) -> None:
        """The next delivery or sweep, whichever is due first."""
        self._tell_story()
        self.broker.queued.sort(key=lambda each: each.at)
        sweep_at = self._swept + SWEEP
        if self.broker.queued and self.broker.queued[0].at <= sweep_at:
            message = self.broker.queued.pop(0)
            self.clock.time = max(self.clock.time, message.at)
            self._deliver(message)
            if self.random.random() < 0.3:  # another copy, late, or before what follows it
                late = timedelta(seconds=self.random.choice((0, 1, 20)))
                copy = replace(message, at=self.clock.time + late, deliveries=1)
                if not message.message_id.endswith("-copy"):
                    copy.message_id += "-copy"
                    self.broker.queued.append(copy)
        else:
            self.clock.time = max(self.clock.time, sweep_at)
            self._sweep()

    def _tell_story(self) -> None:
        minutes = (self.clock.time - NOON) / MINUTE
        if self.story.canceled_at is not None and minutes >= self.story.canceled_at:
            self.step.waiting = False
        build = self._build()
        asked = build is not None and (build.cancel_requested or not build.open)
        cancel_at = self.story.cancel_at
        if cancel_at is not None and minutes >= cancel_at and build is not None and not asked:
            changed = replace(build, cancel_requested="Somebody canceled it.")
            self.state.save(changed, self.state.stored[build.key].version)

    def _deliver(self, message: Queued) -> None:
        message.deliveries += 1
        message.enqueued_at = message.enqueued_at or self.clock.time
        self.deliveries += 1
        envelope = Envelope(
            message.body,
            message.properties,
            message.message_id.removesuffix("-copy"),
            message.deliveries,
            message.enqueued_at,
        )
        back: datetime | None = None
        try:
            self._next_host().handle(envelope)
        except Killed:
            back = self.clock.time + LOCK
            self._restart()
        except Exception:  # noqa: BLE001 -- the broker delivers it again, at once
            back = self.clock.time
        if back is not None:
            if message.deliveries >= MOST_DELIVERIES:
                self.broker.dead.append(message)
            else:
                message.at = back
                self.broker.queued.append(message)

    def _sweep(self) -> None:
        self._swept = self.clock.time
        conductor = self._next_host()
        try:
            conductor.sweep()
            for message in list(self.broker.dead):
                envelope = Envelope(
                    message.body,
                    message.properties,
                    message.message_id.removesuffix("-copy"),
                    message.deliveries + 1,
                    message.enqueued_at,
                )
                if conductor.mend(envelope, "MaxDeliveryCountExceeded"):
                    self.broker.dead.remove(message)
        except Killed:
            self._restart()
        except Exception:  # noqa: BLE001 -- tried again with the next sweep
            pass

    def _next_host(self) -> Conductor:
        gone = self.story.gone_at
        self._now_at = next(self._turn)
        if gone is not None:
            self._now_at = int((self.clock.time - NOON) / MINUTE >= gone)
        return self._conductor(self._now_at)

    def _process(self, number: int) -> Process:
        return Process(self.strikes)

    def _restart(self) -> None:
        self.kills.append(self.clock.time)
        self._processes[self._now_at] = self._process(self._now_at)

    def _conductor(self, number: int) -> Conductor:
        process = self._processes[number]
        known = self._conductors.get(number)
        if known is not None and known[0] is process:
            return known[1]
        repository = process.port("repository", self.repository)
        compute: Any = self.compute
        if self.story.host is not None:
            compute = replace(self.compute)
            compute.began, compute.canceled = self.compute.began, self.compute.canceled
            compute.host = f"host-{number}"
        backend = process.port("backend", compute)
        models = process.port("models", self.models)

        class Repository:
            @contextmanager
            def checkout(_, *arguments: Any, **named: Any) -> Iterator[Any]:  # noqa: N805 -- `self` is the world
                with process.checkout(repository.checkout(*arguments, **named)) as tree:
                    yield tree

            def contains(_, *arguments: Any, **named: Any) -> bool:  # noqa: N805 -- likewise
                return bool(repository.contains(*arguments, **named))

        ports = Ports(
            state=process.port("state", self.state),
            queue=process.port("queue", self.broker),
            repository=Repository(),
            pipeline=process.port("pipeline", self.step),
            backend=lambda _: backend,
            files=process.port("files", self.files),
            clock=HostClock(self.clock, self._ahead[number]),
            doctor=DoctorTwin(),
            models=lambda: models,
            service=process.port("service", self.service),
        )
        policy = HostPolicy(
            backend="local",
            allowed_backends=("local",),
            allowed_collections=(COLLECTION,),
            allowed_repositories=(COLLECTION,),
            models=policy_for(self.story.models),
        )
        conductor = Conductor(ports, policy)
        self._conductors[number] = (process, conductor)
        return conductor


def record_bytes(build: Build) -> int:
    """The size of the build as a record of all that it says."""
    return len(TypeAdapter(Build).dump_json(build))


def verdict_of(world: World) -> Verdict | None:
    """What the step was told, if it was."""
    return world.step.told[0][1].verdict if world.step.told else None
