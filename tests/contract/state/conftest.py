"""Blob storage of its own for each test: Azurite, behind a relay that counts and fails to order."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from handlers.blobs.address import ContainerAddress
from handlers.blobs.container import Container
from handlers.files_handler.blobs import BlobFiles
from handlers.state_handler.blobs import BlobState
from mlgate.emulators.azure_ml import Azurite
from tests.servers.blob_relay import BlobRelay, blob_relay
from tests.unit.orchestration.twins import HandClock, World


@dataclass
class Storage:
    """Containers of one test, and how a host opens them; each call is another process's."""

    relay: BlobRelay
    clock: HandClock
    name: str

    @property
    def address(self) -> ContainerAddress:
        return ContainerAddress.parse(self.relay.container(self.name))

    def container(self, address: ContainerAddress | None = None) -> Container:
        return Container(address or self.address, None, self.clock)

    def state(self) -> BlobState:
        secrets = self.container(self.address.secrets())
        return BlobState(self.container(), secrets, self.clock)

    def files(self) -> BlobFiles:
        return BlobFiles(self.container())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def storage(azurite: Azurite, clock: HandClock) -> Iterator[Storage]:
    with blob_relay(azurite) as relay:
        yield Storage(relay, clock, f"state-{uuid.uuid4().hex[:12]}")


class BlobWorld(World):
    """A conductor among twins, whose state is in blobs."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder)
        self.clock = storage.clock
        self.blobs = storage.state()
        self.state = self.blobs  # type: ignore[assignment] # only the port is used
        storage.container().check()
        storage.container(storage.address.secrets()).check()
        storage.relay.counted()


@pytest.fixture
def world(tmp_path: Path, storage: Storage) -> BlobWorld:
    return BlobWorld(tmp_path, storage)
