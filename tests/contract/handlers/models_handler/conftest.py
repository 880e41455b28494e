"""A model store in each place: a disk, a share by SMB, a container, and a container whose
answers are lost now and then."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.models_handler import ModelStore
from handlers.models_handler.disk import Disk
from mlgate.emulators.azure_ml import Azurite
from tests.contract.handlers.models_handler.disks import Smb
from tests.contract.handlers.models_handler.places import InBlobs, OnDisk, Place
from tests.servers.blob_relay import BlobRelay, Fault, blob_relay

_EVERY = 7  # answers, of which one is lost
FOLDERS = ["disk", "smb"]
CONTAINERS = ["container", "losing"]


@pytest.fixture(scope="session")
def relay(azurite: Azurite) -> Iterator[BlobRelay]:
    with blob_relay(azurite) as running:
        yield running


@pytest.fixture
def containers(relay: BlobRelay) -> Iterator[InBlobs]:
    relay.later = timedelta(0)
    yield InBlobs(relay, f"models-{uuid.uuid4().hex[:12]}")
    relay.revive()


@pytest.fixture
def folder(tmp_path: Path) -> OnDisk:
    return OnDisk(tmp_path / "models", Disk())


@pytest.fixture
def share(tmp_path: Path) -> OnDisk:
    return OnDisk(tmp_path / "models", Smb())


@pytest.fixture(params=[*FOLDERS, *CONTAINERS])
def place(request: pytest.FixtureRequest) -> Place:
    """One that is a store already."""
    found: Place
    if request.param in FOLDERS:
        found = request.getfixturevalue("folder" if request.param == "disk" else "share")
    else:
        found = request.getfixturevalue("containers")
    found.open().init()
    if request.param == "losing":
        faults: list[Fault] = [*["fine"] * (_EVERY - 1), "lost"]  # type: ignore[list-item] # words
        request.getfixturevalue("relay").script += [("*", fault) for fault in faults] * 2000
    found.requests()
    return found


@pytest.fixture
def store(place: Place) -> ModelStore:
    return place.open()
