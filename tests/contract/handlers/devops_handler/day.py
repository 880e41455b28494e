"""A conductor, the handler and a strict pipeline together.

Runs and queue are twins, so that a build is nothing but its talk with the pipeline; time moves
only by waiting, so that a busy loop shows as requests without end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from pydantic import SecretStr

from handlers.devops_handler import DevOpsHandler
from mlgate.emulators.azure_devops import AzureDevOps, Fault, Faults, Task
from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import FailureKind, Outcome
from mlgate.orchestration.runs import Task as TaskOfRun
from tests.unit.orchestration.engine.builders import NOON, outcome
from tests.unit.orchestration.engine.twins import BackendTwin, PipelineTwin, World

RUNS = ("a", "b", "c")
MOST_REQUESTS = 400  # of a build of three runs, however often each has to be made


class EachTwice(Faults):
    """Of each kind of call, two requests fail before one succeeds."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__()
        self._faults = faults
        self._taken: Counter[str] = Counter()

    def take(self, call: str) -> Fault | None:
        number = self._taken[call]
        self._taken[call] += 1
        return None if number % 3 == 2 else self._faults[number % len(self._faults)]


class AtRequest(Faults):
    """Something happens to the pipeline right before its n-th request is answered."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.happens: Callable[[], object] = lambda: None
        self._left = number

    def take(self, call: str) -> Fault | None:
        self._left -= 1
        if self._left == 0:
            self.happens()
        return super().take(call)


class Logging(BackendTwin):
    """Each run leaves a log."""

    def collect(self, task: TaskOfRun, files: BuildFiles | None) -> Outcome:
        log = f"runs/{task.attempt.run}/log.txt"
        if files is not None:
            files.write(task.attempt.build, log, b"log")
        return replace(super().collect(task, files), evidence=(log,) if files is not None else ())


class Day:
    """One build, whose run `b` fails, on a strict stand-in; a slip fails the test."""

    def __init__(self, folder: Path, faults: Faults | None = None) -> None:
        self.world = World(folder)
        self.world.clock.time = NOON
        self.server = AzureDevOps(clock=self.world.clock.now, faults=faults)
        self.world.backend = Logging()
        self.world.backend.outcomes = {"b": [outcome(FailureKind.CODE)]}
        self.identity = False

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, traceback)
        assert self.server.violations == []

    def begin(self, names: Sequence[str] = RUNS) -> Task:
        url = self.server.collection_url
        task = self.server.new_task()
        handler = DevOpsHandler(
            allowed=[url],
            identity=self._own_token if self.identity else None,
            clock=self.world.clock,
            timeout_seconds=5,
        )
        self.world.pipeline = cast(PipelineTwin, handler)
        self.world.policy = replace(self.world.policy, allowed_collections=(url,))
        envelope = self.world.envelope(*({"name": name} for name in names), build_id=task.build_id)
        self.world.conductor.handle(Envelope(envelope.body, task.properties, "id"))
        return task

    def _own_token(self) -> SecretStr:
        return SecretStr(self.server.new_identity())

    def end(self, most: int = MOST_REQUESTS) -> Verdict | None:
        """The verdict once the queue is empty; the requests were bounded."""
        self.world.run_to_end()
        [build] = self.world.state.builds()
        assert build.phase is Phase.COMPLETED
        assert len(self.server.requests) < most
        return build.verdict
