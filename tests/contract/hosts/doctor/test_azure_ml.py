"""The lines of a workspace: all well in each kind of workspace, then one thing broken at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handlers.identity_handler import credential
from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.emulators.azure_ml.faults import Fault
from mlgate.hosts.assembly import make_doctor
from mlgate.hosts.settings import Settings
from mlgate.orchestration.checks import Check, CheckStatus, examine
from mlgate.orchestration.ports import Asked

ENVIRONMENT = "registered:1"


def examined(server: AzureML, home: Path, **settings: str) -> dict[str, Check]:
    fixed = {
        "MLGATE_BACKEND": "azureml",
        "MLGATE_WORKSPACE": server.workspace_name,
        "MLGATE_HOME": str(home),
    }
    read = Settings.read({**fixed, **settings})

    def none() -> None:
        raise AssertionError

    doctor = make_doctor(read, none)  # type: ignore[arg-type] # no line here asks the queue
    asked = Asked("azureml", settings.get("MLGATE_WORKSPACE", server.workspace_name))
    assert asked.workspace is not None
    return {check.name: check for check in examine(doctor.azureml(asked.workspace))}


def wrong(found: dict[str, Check]) -> set[str]:
    return {name for name, check in found.items() if check.wrong}


@pytest.fixture(autouse=True)
def of_this_server() -> Iterator[None]:
    """A process has one identity, whose tokens it keeps."""
    credential.cache_clear()
    yield
    credential.cache_clear()


@pytest.fixture
def server(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureML]:
    with AzureML(azurite=azurite) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
        assert running.violations == []


@pytest.fixture
def keyless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureML]:
    request.getfixturevalue("azurite")  # skips where it is not installed
    with AzureML(keyless=True) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
        assert running.violations == []


def test_all_well_registers_and_submits_nothing(server: AzureML, tmp_path: Path) -> None:
    found = examined(server, tmp_path)

    assert {name: str(check) for name, check in found.items() if check.wrong} == {}
    assert {check.status for check in found.values()} == {CheckStatus.OK}
    assert not list(server.jobs)
    assert not [each for each in server.requests if each.method == "PUT" and "/codes/" in each.path]


@pytest.mark.parametrize(
    "settings",
    [
        {"MLGATE_COMPUTE": "cpu-cluster"},
        {"MLGATE_JOB_IDENTITY": "managed"},
        {"MLGATE_JOB_IDENTITY": "user"},
    ],
)
def test_all_well_in_a_workspace_without_keys(
    settings: dict[str, str], keyless: AzureML, tmp_path: Path
) -> None:
    found = examined(keyless, tmp_path, **settings)

    assert wrong(found) == set()
    assert "with its identity" in found["azureml-upload"].says


def test_jobs_that_no_identity_is_lent_to_are_told_of(keyless: AzureML, tmp_path: Path) -> None:
    found = examined(keyless, tmp_path)

    assert wrong(found) == {"azureml-job-identity"}
    assert "MLGATE_JOB_IDENTITY" in found["azureml-job-identity"].remedy


def fails(call: str, status: int) -> Callable[[AzureML], None]:
    return lambda server: server.faults.add(call, Fault.answering(status), times=20)


BROKEN: dict[str, tuple[Callable[[AzureML], None], dict[str, str], str, str]] = {
    "no token": (fails("token", 400), {}, "azureml-identity", "AZURE_CLIENT_ID"),
    "no right to the workspace": (
        fails("workspace.get", 403),
        {},
        "azureml-workspace",
        "AzureML Data Scientist",
    ),
    "no such workspace": (fails("workspace.get", 404), {}, "azureml-workspace", "MLGATE_WORKSPACE"),
    "no right to jobs": (fails("jobs.cancel", 403), {}, "azureml-role", "AzureML Data Scientist"),
    "no such compute": (
        lambda _: None,
        {"MLGATE_COMPUTE": "gone"},
        "azureml-compute",
        "MLGATE_COMPUTE",
    ),
    "no such environment": (
        lambda _: None,
        {"MLGATE_ENVIRONMENT": "gone:1"},
        "azureml-environment",
        "MLGATE_ENVIRONMENT",
    ),
    "no right to upload": (
        fails("codes.upload", 403),
        {},
        "azureml-upload",
        "Storage Blob Data Contributor",
    ),
    "storage that refuses what is uploaded": (
        fails("blob.block", 403),
        {},
        "azureml-upload",
        "Storage Blob Data Contributor",
    ),
    "storage that refuses who lists": (
        fails("blob.list", 403),
        {},
        "azureml-outputs",
        "Storage Blob Data Contributor",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_alone_is_told_alone_with_its_remedy(
    what: str, server: AzureML, tmp_path: Path
) -> None:
    act, settings, line, remedy = BROKEN[what]
    act(server)
    found = examined(server, tmp_path, **settings)

    assert wrong(found) == {line}, {name: str(check) for name, check in found.items()}
    assert remedy in found[line].remedy
