"""A host's whole outside, all of it well: each test breaks one thing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.azure_devops import AzureDevOps
from mlgate.emulators.azure_ml import Azurite
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.hosts import cli
from mlgate.hosts.assembly import make_doctor, make_queue
from mlgate.hosts.settings import Settings
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.checks import Check
from mlgate.orchestration.ports import Asked
from tests.contract.handlers.repository_handler.origins import demo
from tests.functions.cloud import container_url
from tests.servers.blob_relay import BlobRelay, blob_relay
from tests.servers.git_http import GitHttpServer, git_http_server

QUEUE = "function-queue"
CONTAINERS = ("state", "state-secrets", "builds", "models")
GIT_TOKEN = "s3cret-t0ken-of-the-tests"


@dataclass
class Outside:
    """`settings` are the host's variables; `repository` is the one that is asked for."""

    bus: Emulator
    azurite: Azurite
    relay: BlobRelay
    devops: AzureDevOps
    git: GitHttpServer
    folder: Path
    settings: dict[str, str]
    repository: str | None
    free: int = 100 << 30
    identity: SecretStr | Exception = field(default_factory=lambda: SecretStr("none"))

    def examined(self) -> dict[str, Check]:
        settings = Settings.read(self.settings)
        request = None if self.repository is None else RepositoryRequest(self.repository)
        queue = make_queue(settings.service_bus)
        doctor = make_doctor(settings, lambda: queue)
        doctor = replace(doctor, free=lambda _: self.free, identity=self._identity)
        asked = Asked(settings.policy.backend, settings.policy.workspace, request)
        try:
            return {check.name: check for check in doctor.examine(asked)}
        finally:
            queue.close()

    def left(self) -> Mapping[str, Any]:
        """All that there is outside and on this host: it stays as it is."""
        found = ServiceBusQueue(
            connect_with_string(lambda: self.bus.connection_string), QUEUE
        ).peek()
        files = [path.relative_to(self.folder) for path in sorted(self.folder.rglob("*"))]
        blobs = {name: self.blobs(name) for name in CONTAINERS}
        return {"message": found, "files": files, "blobs": blobs}

    def blobs(self, name: str) -> list[str]:
        from azure.storage.blob import ContainerClient

        with ContainerClient.from_container_url(self.url(name)) as client:
            return sorted(client.list_blob_names()) if client.exists() else ["no container"]

    def url(self, name: str) -> str:
        base, _, rest = self.settings["MLGATE_STATE"].partition("?")
        return f"{base.removesuffix('state')}{name}?{rest}"

    def _identity(self) -> SecretStr:
        if isinstance(self.identity, Exception):
            raise self.identity
        return self.identity


@pytest.fixture(scope="module")
def services(
    azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BlobRelay, GitHttpServer]]:
    origin = demo(tmp_path_factory.mktemp("origins") / "demo.git")
    with blob_relay(azurite) as relay, git_http_server(origin.path.parent) as git:
        yield relay, git


@pytest.fixture
def outside(
    services: tuple[BlobRelay, GitHttpServer], azurite: Azurite, tmp_path: Path
) -> Iterator[Outside]:
    from azure.storage.blob import ContainerClient

    relay, git = services
    account = f"t{uuid.uuid4().hex[:12]}"
    home = tmp_path / "home"
    (home / "checkouts").mkdir(parents=True)  # as after the first build
    with Emulator([QueueConfig(QUEUE)]) as bus, AzureDevOps() as devops:
        url = relay.container(f"{account}-state")
        settings = {
            "serviceBusConnectionString": bus.connection_string,
            "serviceBusQueueName": QUEUE,
            "MLGATE_STATE": url,
            "MLGATE_BUILDS": url.replace("-state?", "-builds?"),
            "MLGATE_MODELS": url.replace("-state?", "-models?"),
            "MLGATE_ALLOWED_MODELS": f"churn={git.url}",
            "MLGATE_HOME": str(home),
            "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
            "MLGATE_ALLOWED_REPOSITORIES": git.url,
            "MLGATE_DEVOPS_IDENTITY": "1",
            "MLGATE_GIT_CREDENTIALS": f"{git.url}/=GIT_TOKEN",
            "GIT_TOKEN": GIT_TOKEN,
        }
        git.token = GIT_TOKEN
        found = Outside(
            bus,
            azurite,
            relay,
            devops,
            git,
            tmp_path,
            settings,
            f"{git.url}/demo.git",
            identity=SecretStr(devops.new_identity()),
        )
        for name in CONTAINERS:
            with ContainerClient.from_container_url(found.url(name)) as client:
                client.create_container()
        yield found
        git.token, git.status = None, None
        relay.later = timedelta(0)
        relay.revive()


def said_by_the_command(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, Any]:
    """The exit code and the JSON of `mlgate doctor --json`."""
    for name, value in outside.settings.items():
        monkeypatch.setenv(name, value)
    arguments = ["doctor", "--json"]
    if outside.repository is not None:
        arguments += ["--repository", outside.repository]
    capsys.readouterr()
    code = cli.main(arguments)
    return code, json.loads(capsys.readouterr().out)


__all__ = ["GIT_TOKEN", "QUEUE", "Outside", "container_url", "said_by_the_command"]
