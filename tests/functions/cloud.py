"""The services around a function app: the queue, a pipeline that waits, and blob storage."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.azure_devops import AzureDevOps, Task
from mlgate.emulators.azure_ml import Azurite
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.orchestration.admission.identity import build_key, pipeline_address
from mlgate.orchestration.durable import StatePort
from tests.contract.handlers.servicebus_handler.conftest import dead_letters
from tests.functions.host import FunctionsHost

QUEUE = "function-queue"
DELIVERIES = 3
PATIENCE = 120  # seconds; the machine may be busy


@dataclass(frozen=True)
class Cloud:
    """`settings` are the function app's, and all that its process finds."""

    emulator: Emulator
    devops: AzureDevOps
    settings: Mapping[str, str]
    folder: Path
    _logs: list[Path] = field(default_factory=list)

    @property
    def state(self) -> StatePort:
        return make_state(Settings.read(self.settings, in_functions=True))

    @property
    def said(self) -> str:
        """All that the app's processes wrote."""
        return "".join(log.read_text() for log in self._logs)

    def host(self, app: Path, **changes: str) -> FunctionsHost:
        log = self.folder / f"{uuid.uuid4().hex}.log"
        self._logs.append(log)
        return FunctionsHost(app, {**self.settings, **changes}, log)

    def publish(self, body: bytes | Mapping[str, Any]) -> Task:
        """Send as the task of Azure DevOps does; returns the step that waits."""
        task = self.devops.new_task()
        if not isinstance(body, bytes):
            body = json.dumps({"build_id": task.build_id, **body}).encode()
        self.queue().publish(body, uuid.uuid4().hex, task.properties)
        return task

    def dead(self) -> list[str]:
        """The jobs whose messages lie among the dead letters."""
        return [each.properties["JobId"] for each in dead_letters(self.queue())]

    def queue(self) -> ServiceBusQueue:
        connection = SecretStr(self.emulator.connection_string)
        return ServiceBusQueue(connect_with_string(connection.get_secret_value), QUEUE)


@contextmanager
def cloud(azurite: Azurite, folder: Path, **settings: str) -> Iterator[Cloud]:
    """At the end the pipeline must have minded nothing."""
    empty = folder / "no-programs"  # stock images have no git
    empty.mkdir()
    with Emulator([QueueConfig(QUEUE, max_delivery=DELIVERIES)]) as bus, AzureDevOps() as devops:
        fixed = {
            "PATH": str(empty),
            "HOME": str(folder),
            "serviceBusConnectionString": bus.connection_string,
            "serviceBusQueueName": QUEUE,
            "MLGATE_BACKEND": "azureml",
            "MLGATE_WORKSPACE": "subscription/group/workspace",
            "MLGATE_STATE": container_url(azurite, f"state-{uuid.uuid4().hex[:8]}"),
            "MLGATE_BUILDS": container_url(azurite, f"builds-{uuid.uuid4().hex[:8]}"),
            "MLGATE_HOME": str(folder / "home"),
            "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
            "MLGATE_ALLOWED_REPOSITORIES": str(folder),
        }
        yield Cloud(bus, devops, {**fixed, **settings}, folder)
        assert devops.violations == []


def container_url(azurite: Azurite, name: str, key: str | None = None) -> str:
    """Of a container, with a signature for the whole account."""
    signature = generate_account_sas(
        azurite.account,
        key or azurite.key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions.from_string("rwdlac"),
        expiry=datetime.now(UTC) + timedelta(hours=2),
    )
    return f"{azurite.url}/{azurite.account}/{name}?{signature}"


def key_of(task: Task) -> str:
    """The key of the build that the step waits for."""
    found = pipeline_address(task.properties)
    assert found is not None
    return build_key(found[0], 1, "")


def deliver_until_over(host: FunctionsHost, task: Task) -> str:
    """Hand over messages, as they are due, until the step ends; returns its result."""
    until = time.monotonic() + PATIENCE
    while (result := task.wait_completed(0)) is None:
        assert time.monotonic() < until
        answer = host.deliver()
        assert answer is None or answer.ok, answer
    return result
