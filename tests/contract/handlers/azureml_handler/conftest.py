from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.orchestration.runs import Task
from tests.contract.handlers.azureml_handler.support import Bench


def led_to(server: AzureML, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Lead this process to a workspace, as any host would be."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)  # the SDK looks for a git repository around it


@pytest.fixture
def server(azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AzureML]:
    with AzureML(azurite=azurite, parallel=4) as running:
        led_to(running, monkeypatch, tmp_path)
        yield running
        assert running.violations == []


@pytest.fixture
def keyless(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Bench]:
    """A build in a workspace without keys, on a compute that lends its jobs an identity."""
    request.getfixturevalue("azurite")  # skips where it is not installed
    with AzureML(keyless=True) as server:
        led_to(server, monkeypatch, tmp_path)
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


@pytest.fixture(scope="module")
def before(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A build whose one run has ended, for all tests of a module that leave it as it is."""
    folder = tmp_path_factory.mktemp("before")
    with AzureML(azurite=azurite, parallel=4) as server:
        with pytest.MonkeyPatch.context() as monkeypatch:
            led_to(server, monkeypatch, folder)
            made = Bench(server, folder)
            task = made.task("python train.py")
            made.handler.submit(task)
            server.jobs.wait(task.attempt.id)
            made.close()
        yield made
        assert server.violations == []


@pytest.fixture
def ended(before: Bench) -> Task:
    """The run of the bench `after`."""
    return before.task("python train.py")


@pytest.fixture
def after(
    before: Bench, ended: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Bench]:
    """The build in which `ended` has ended, on another host that has asked about it once."""
    led_to(before.server, monkeypatch, tmp_path)
    made = before.on_another_host(tmp_path)
    made.stage_again()
    assert made.see(ended).status.ended
    yield made
    before.server.faults.clear()
    made.close()
