"""The same bench for both backends, with the launcher that they are made for.

Azure ML is the stand-in, which executes jobs for real, with this interpreter: it makes no
environment, so no run here asks for packages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from handlers.azureml_handler.handler import AzureMLHandler
from handlers.local_handler.handler import LocalHandler
from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.orchestration.backends.keeping import MOST_BYTES
from tests.contract.bench import Bench
from tests.contract.handlers.local_handler.conftest import Bench as LocalBench

GRACE_SECONDS = 20.0  # more than a launcher needs to keep what there is


class OnThisMachine(LocalBench):
    command = "python script.py"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.handler = self.another_handler()

    def another_handler(self, most_bytes: int = MOST_BYTES) -> LocalHandler:
        return self.new_handler(launcher=None, grace_seconds=GRACE_SECONDS, most_bytes=most_bytes)


@dataclass(frozen=True)
class Access:
    """How jobs get at a workspace's storage: by keys, or by an identity that somebody lends."""

    keyless: bool = False
    compute: str = "serverless"
    job_identity: str | None = None


BY_KEYS = Access()
BY_COMPUTE = Access(keyless=True, compute="cpu-cluster")
BY_JOB = Access(keyless=True, job_identity="managed")


class OnAzureML(Bench[AzureMLHandler]):
    mark = "AZUREML_RUN_ID"

    def __init__(self, folder: Path, server: AzureML, access: Access) -> None:
        super().__init__(folder)
        self._server = server
        self._access = access
        self._handlers: list[AzureMLHandler] = []
        self.handler = self.another_handler()

    def another_handler(self, most_bytes: int = MOST_BYTES) -> AzureMLHandler:
        from azure.identity import DefaultAzureCredential

        handler = AzureMLHandler(
            workspace=self._server.workspace_name,
            credential=DefaultAzureCredential(),
            compute=self._access.compute,
            environment="azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            job_identity=self._access.job_identity,
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


Open = Callable[[bool], AzureML]


@pytest.fixture(scope="session")
def workspace(azurite: Azurite) -> Iterator[Open]:
    """A workspace with keys and one without, each made when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def opened(keyless: bool) -> AzureML:
            storage = None if keyless else azurite
            server = AzureML(
                azurite=storage, keyless=keyless, parallel=4, grace_seconds=GRACE_SECONDS
            )
            return stack.enter_context(server)

        yield opened


Led = Callable[[Access], OnAzureML]


@pytest.fixture
def led_to(workspace: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Led]:
    with ExitStack() as stack:

        def led(access: Access) -> OnAzureML:
            server = workspace(access.keyless)
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            monkeypatch.chdir(tmp_path)  # the SDK looks for a git repository around it
            bench = OnAzureML(tmp_path, server, access)
            stack.callback(bench.close)
            return bench

        yield led


@pytest.fixture
def on_azure_ml(led_to: Led) -> OnAzureML:
    return led_to(BY_KEYS)


@pytest.fixture
def on_this_machine(tmp_path: Path) -> Iterator[OnThisMachine]:
    bench = OnThisMachine(tmp_path)
    yield bench
    bench.close()


@pytest.fixture(params=[None, BY_KEYS], ids=["local", "azureml"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """One of the two, made when asked for: a laptop without Azurite still tests the other."""
    access: Access | None = request.param
    if access is None:
        here: OnThisMachine = request.getfixturevalue("on_this_machine")
        return here
    led: Led = request.getfixturevalue("led_to")
    return led(access)


# For the tests that go through all that the workspace's storage is asked for.
in_every_workspace = pytest.mark.parametrize(
    "backend",
    [None, BY_KEYS, BY_COMPUTE, BY_JOB],
    ids=["local", "keys", "identity of the compute", "identity of the job"],
    indirect=True,
)
