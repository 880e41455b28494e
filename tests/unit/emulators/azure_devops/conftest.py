from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlgate.emulators.azure_devops import AzureDevOps
from tests.unit.emulators.azure_devops.support import Client


@pytest.fixture
def server() -> Iterator[AzureDevOps]:
    with AzureDevOps() as running:
        yield running


@pytest.fixture
def client(server: AzureDevOps) -> Client:
    return Client(server, server.new_task())
