from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite
from tests.contract.handlers.azureml_handler.support import Bench


@pytest.fixture
def server(azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AzureML]:
    """A workspace, to which this process is led as any host would be."""
    with AzureML(azurite=azurite, parallel=4) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)  # the SDK looks for a git repository around it
        yield running
        assert running.violations == []


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """A build in a workspace without keys, on a compute that lends its jobs an identity."""
    with AzureML(keyless=True) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        bench = Bench(server, tmp_path)
        bench.handler = bench.another(compute="cpu-cluster")
        yield bench
        bench.close()
        assert server.violations == []


@pytest.fixture
def bench(server: AzureML, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(server, tmp_path)
    yield made
    made.close()
