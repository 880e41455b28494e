"""A clock that only moves when told, and the coordinates of a task as the handler takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from handlers.devops_handler import DevOpsHandler
from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops import AzureDevOps, Task
from mlgate.orchestration.builds import PipelineAddress
from mlgate.orchestration.telling import Completion, Progress, Results

NO_FILES = FolderFiles(lambda _: Path("/nowhere"))


class SteppedClock:
    """Sleeping moves it and is remembered, except for sleeps of no length."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
        self.step(seconds)

    def step(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def address_of(task: Task) -> PipelineAddress:
    return address_from(task.properties)[0]


def token_of(task: Task) -> SecretStr:
    return address_from(task.properties)[1]


def address_from(properties: Mapping[str, str]) -> tuple[PipelineAddress, SecretStr]:
    """The coordinates among a message's properties, and its token."""
    address = PipelineAddress(
        plan_url=properties["PlanUrl"],
        project_id=properties["ProjectId"],
        hub_name=properties["HubName"],
        plan_id=properties["PlanId"],
        job_id=properties["JobId"],
        timeline_id=properties["TimelineId"],
        task_instance_id=properties["TaskInstanceId"],
        task_instance_name=properties["TaskInstanceName"],
    )
    return address, SecretStr(properties["AuthToken"])


@dataclass
class Scene:
    """A step that waits on the stand-in, and a handler that may call it."""

    server: AzureDevOps
    clock: SteppedClock
    task: Task
    handler: DevOpsHandler

    def is_waiting(self) -> bool:
        return self.handler.is_waiting(address_of(self.task), token_of(self.task))

    def show(self, progress: Progress) -> None:
        self.handler.show(address_of(self.task), token_of(self.task), progress)

    def publish(self, results: Results) -> bool:
        """Publish results that have no files."""
        address, token = address_of(self.task), token_of(self.task)
        return self.handler.publish(address, token, results, NO_FILES)

    def complete(self, completion: Completion, *, doubt: bool = False) -> None:
        address, token = address_of(self.task), token_of(self.task)
        self.handler.complete(address, token, completion, doubt=doubt)

    @property
    def calls(self) -> list[str]:
        """The names of the calls that the stand-in received, in order."""
        return [request.call for request in self.server.requests]

    def another_task(self, *, hub: str = "build", plan_version: int = 12) -> Scene:
        return replace(self, task=self.server.new_task(hub=hub, plan_version=plan_version))

    def another_handler(self, *, identity: bool = False, timeout_seconds: float = 30) -> Scene:
        """As after a look on another host; `identity`: the host is a user of the organization."""
        handler = DevOpsHandler(
            allowed=[self.server.collection_url],
            identity=(lambda: SecretStr(self.server.new_identity())) if identity else None,
            clock=self.clock,
            timeout_seconds=timeout_seconds,
        )
        return replace(self, handler=handler)
