"""A strict stand-in for every test: what a strict service would mind fails the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handlers.devops_handler import DevOpsHandler
from mlgate.emulators.azure_devops import AzureDevOps
from tests.contract.devops.support import Scene, SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def server(clock: SteppedClock) -> Iterator[AzureDevOps]:
    with AzureDevOps(clock=clock.now) as running:
        yield running
    assert running.violations == []


@pytest.fixture
def scene(server: AzureDevOps, clock: SteppedClock) -> Scene:
    handler = DevOpsHandler(allowed=[server.collection_url], clock=clock)
    return Scene(server, clock, server.new_task(), handler)
