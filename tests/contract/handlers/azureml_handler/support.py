"""A workspace to run in, the shortest ways to do so, and what came of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from azure.core.credentials import TokenCredential

from handlers.azureml_handler.handler import AzureMLHandler
from handlers.azureml_handler.looks import FEW
from handlers.azureml_handler.scratch import free_bytes
from mlgate.emulators.azure_ml import AzureML, Job
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunKind, RunSpec, Task
from tests.contract.twins import FolderCheckout, MovableClock
from tests.support.memory import MemoryFiles

COMMIT = "c" * 40
CURATED = "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33"
REPOSITORY = RepositoryRequest("https://example.org/team/sales.git")


class RecordingClock(MovableClock):
    """Time that a sleep moves on instead of passing it."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


def new_handler(
    workspace: str,
    clock: Clock,
    credential: TokenCredential | None = None,
    *,
    compute: str = "serverless",
    job_identity: str | None = None,
    free: Callable[[], int] = free_bytes,
) -> AzureMLHandler:
    """A handler as another host would have it."""
    from azure.identity import DefaultAzureCredential

    return AzureMLHandler(
        workspace=workspace,
        credential=credential or DefaultAzureCredential(),
        compute=compute,
        environment=CURATED,
        job_identity=job_identity,
        clock=clock,
        free=free,
    )


def write(folder: Path, files: Mapping[str, str]) -> FolderCheckout:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return FolderCheckout(COMMIT, folder)


class Bench:
    """One build in one workspace; `server.environment` is this process's already."""

    def __init__(self, server: AzureML, folder: Path, clock: RecordingClock | None = None) -> None:
        self.server = server
        self.folder = folder
        self.build = secrets.token_hex(16)
        self.clock = clock or RecordingClock()
        self.files = MemoryFiles()
        self._handlers: list[AzureMLHandler] = []
        self.handler = self.another()
        self.snapshot = ""

    def on_another_host(self, folder: Path) -> Bench:
        """The same build, to a host that was not there yet."""
        other = Bench(self.server, folder)
        other.build, other.snapshot, other._checkout = self.build, self.snapshot, self._checkout
        return other

    def another(
        self,
        credential: TokenCredential | None = None,
        *,
        compute: str = "serverless",
        job_identity: str | None = None,
        free: Callable[[], int] = free_bytes,
    ) -> AzureMLHandler:
        name = self.server.workspace_name
        made = new_handler(
            name, self.clock, credential, compute=compute, job_identity=job_identity, free=free
        )
        self._handlers.append(made)
        return made

    def stage(self, files: Mapping[str, str], *runs: RunSpec) -> str:
        self._checkout = write(self.folder / f"checkout-{secrets.token_hex(4)}", files)
        self.snapshot = self.handler.stage(self._checkout, REPOSITORY, runs)
        return self.snapshot

    def stage_again(self) -> None:
        """What is written already, and so without a file of the test's own to be opened."""
        self.handler.stage(self._checkout, REPOSITORY, ())

    def task(self, command: str, name: str = "train", number: int = 1, **fields: Any) -> Task:
        if not self.snapshot:
            self.stage({"train.py": "print('trained')\n"})
        spec = RunSpec(name=name, kind=RunKind.TRAINING, command=command, **fields)
        return Task(Attempt(self.build, name, number), spec, self.snapshot, "4711")

    def see(self, task: Task) -> Observation:
        return self.handler.look([task.attempt])[task.attempt]

    def tries(self, task: Task) -> list[Attempt]:
        """More attempts of the run than are asked for one by one, of which there is the first."""
        return [replace(task.attempt, number=number) for number in range(1, FEW + 2)]

    def job(self, task: Task) -> Job:
        return self.server.jobs[task.attempt.id]

    def ended(self, task: Task) -> Outcome:
        self.server.jobs.wait(task.attempt.id)
        assert self.see(task).status.ended
        return self.handler.collect(task, self.files)

    def run(self, task: Task) -> Outcome:
        assert self.handler.submit(task)
        return self.ended(task)

    def calls(self, *names: str) -> list[str]:
        """The requests of these names so far; of every name but those for a token if none."""
        asked = [request.call for request in list(self.server.requests)]
        if names:
            return [call for call in asked if call in names]
        return [call for call in asked if not call.startswith("token")]

    def uploaded(self) -> dict[str, bytes]:
        """What the storage holds of all code versions, by path."""
        workspace, storage = self.server.workspace, self.server.storage
        from mlgate.emulators.azure_ml.mounts import code_of

        found: dict[str, bytes] = {}
        for name, version in workspace.codes:
            folder = code_of(workspace, f"/codes/{name}/versions/{version}")
            assert folder is not None
            found |= {path: storage.get(folder / path) for path in storage.list(folder)}
        return found

    def close(self) -> None:
        for handler in self._handlers:
            handler.close()


def use(environment: Mapping[str, str]) -> None:
    """Lead this process to a workspace."""
    os.environ.update(environment)
