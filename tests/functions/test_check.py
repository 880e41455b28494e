"""A check as a function app makes it: by Microsoft's worker code, shown by the step that waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.emulators.azure_devops import Task
from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.emulators.azure_ml.faults import Fault
from tests.contract.handlers.repository_handler.origins import demo
from tests.functions.cloud import Cloud, cloud, deliver_until_over
from tests.servers.git_http import GitHttpServer, git_http_server

GIT_TOKEN = "a-token-of-the-repository"


@pytest.fixture
def workspace(azurite: Azurite) -> Iterator[AzureML]:
    with AzureML(azurite=azurite) as server:
        yield server
        assert server.violations == []


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[GitHttpServer]:
    served = demo(tmp_path / "origins" / "demo.git").path.parent
    with git_http_server(served) as server:
        server.token = GIT_TOKEN
        yield server


@pytest.fixture
def world(
    azurite: Azurite, workspace: AzureML, origin: GitHttpServer, tmp_path: Path
) -> Iterator[Cloud]:
    settings = {
        **workspace.environment,
        "MLGATE_WORKSPACE": workspace.workspace_name,
        "MLGATE_ALLOWED_REPOSITORIES": origin.url,
        "MLGATE_GIT_CREDENTIALS": f"{origin.url}=GIT_TOKEN",
        "GIT_TOKEN": GIT_TOKEN,
    }
    with cloud(azurite, tmp_path, **settings) as running:
        yield running


def wrong(task: Task) -> set[str]:
    """The names of the checks that the step shows as errors."""
    told = [issue["message"] for issue in task.record.issues if issue["type"] == "error"]
    return {name for name, found, _ in (each.partition(": ") for each in told[1:]) if found}


def test_a_check_is_shown_by_its_step_and_fails_for_what_is_wrong(
    world: Cloud, workspace: AzureML, origin: GitHttpServer, deployed: Path
) -> None:
    message = {"version": 1, "kind": "check", "repository": {"url": f"{origin.url}/demo.git"}}
    with world.host(deployed) as host:
        well = world.publish(message)
        verdict = deliver_until_over(host, well)
        # The disk is this machine's, and may be too full for a real build.
        assert (verdict, wrong(well)) in [("succeeded", set()), ("failed", {"disk"})]
        origin.token = "another"
        workspace.faults.add("jobs.cancel", Fault.answering(403), times=20)
        ill = world.publish(message)
        assert deliver_until_over(host, ill) == "failed"

    lines = "\n".join(line.text for line in well.feed)
    told = [issue["message"] for issue in ill.record.issues]
    assert "azureml-upload" in lines
    assert "not applicable  repository-git" in lines  # stock images have no git
    assert wrong(ill) - {"disk"} == {"repository-dulwich", "azureml-role"}
    assert any("AzureML Data Scientist" in issue for issue in told)
    assert not list(workspace.jobs)
    assert GIT_TOKEN not in world.said
