"""The same bench for both backends, with the launcher that they are made for.

Azure ML is the stand-in, which executes jobs for real, with this interpreter: it makes no
environment, so no run here asks for packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.azureml_handler.handler import AzureMLHandler
from handlers.local_handler.handler import LocalHandler
from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.orchestration.keeping import MOST_BYTES
from tests.contract.bench import Bench
from tests.contract.local.conftest import Bench as LocalBench

GRACE_SECONDS = 20.0  # more than a launcher needs to keep what there is


class OnThisMachine(LocalBench):
    command = "python script.py"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.handler = self.another_handler()

    def another_handler(self, most_bytes: int = MOST_BYTES) -> LocalHandler:
        return self.new_handler(launcher=None, grace_seconds=GRACE_SECONDS, most_bytes=most_bytes)


class OnAzureML(Bench[AzureMLHandler]):
    mark = "AZUREML_RUN_ID"

    def __init__(self, folder: Path, server: AzureML) -> None:
        super().__init__(folder)
        self._server = server
        self._handlers: list[AzureMLHandler] = []
        self.handler = self.another_handler()

    def another_handler(self, most_bytes: int = MOST_BYTES) -> AzureMLHandler:
        from azure.identity import DefaultAzureCredential

        handler = AzureMLHandler(
            workspace=self._server.workspace_name,
            credential=DefaultAzureCredential(),
            compute="serverless",
            environment="azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            clock=self.clock,
            most_bytes=most_bytes,
        )
        self._handlers.append(handler)
        return handler

    def close(self) -> None:
        for job in self._server.jobs:
            if not job.over:
                self._server.jobs.preempt(job.name)
                self._server.jobs.wait(job.name)
        for handler in self._handlers:
            handler.close()
        # Killed ones are gone a moment later.
        self.until(lambda: not self.processes(), "the end of every process")
        assert self._server.violations == []


Backend = OnThisMachine | OnAzureML


@pytest.fixture(scope="session")
def workspace(azurite: Azurite) -> Iterator[AzureML]:
    with AzureML(azurite=azurite, parallel=4, grace_seconds=GRACE_SECONDS) as server:
        yield server


@pytest.fixture
def on_azure_ml(
    workspace: AzureML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OnAzureML]:
    for name, value in workspace.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # the SDK looks for a git repository around it
    bench = OnAzureML(tmp_path, workspace)
    yield bench
    bench.close()


@pytest.fixture
def on_this_machine(tmp_path: Path) -> Iterator[OnThisMachine]:
    bench = OnThisMachine(tmp_path)
    yield bench
    bench.close()


@pytest.fixture(params=["local", "azureml"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """One of the two, made when asked for: a laptop without Azurite still tests the other."""
    name = {"local": "on_this_machine", "azureml": "on_azure_ml"}[request.param]
    found: Backend = request.getfixturevalue(name)
    return found
