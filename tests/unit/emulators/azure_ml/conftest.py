from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite
from tests.unit.emulators.azure_ml.support import Client


@pytest.fixture
def server(azurite: Azurite) -> Iterator[AzureML]:
    with AzureML(azurite=azurite, page_size=2) as running:
        yield running


@pytest.fixture
def client(server: AzureML) -> Client:
    return Client(server)
