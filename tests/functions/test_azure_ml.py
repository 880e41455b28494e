"""A whole build as a function app has it: a clean environment, no git, all it keeps in blobs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files
from tests.e2e.commands import commit, notebook
from tests.functions.cloud import Cloud, cloud, deliver_until_over, key_of
from tests.servers.git_http import GitHttpServer, git_http_server

TRAIN = """
import json, pathlib
pathlib.Path("outputs/model.txt").write_text("a model")
pathlib.Path("outputs/metrics.json").write_text(json.dumps({"accuracy": 0.93}))
"""
EVALUATE = """
import os, pathlib
model = pathlib.Path(os.environ["MLGATE_INPUT_TRAIN"], "outputs", "model.txt").read_text()
"""
GIT_TOKEN = "a-token-of-the-repository"


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[GitHttpServer]:
    """Repositories that ask for a token; in `flowers` a training, and a notebook that needs it."""
    work = tmp_path / "work"
    notebook(work / "evaluate.ipynb", EVALUATE, "assert model == 'a model'")
    (work / "train.py").write_text(TRAIN)
    commit(work)
    served = tmp_path / "served"
    subprocess.run(["git", "clone", "-q", "--bare", work, served / "flowers.git"], check=True)
    with git_http_server(served) as server:
        server.token = GIT_TOKEN
        yield server


@pytest.fixture
def workspace(azurite: Azurite) -> Iterator[AzureML]:
    with AzureML(azurite=azurite) as server:
        yield server
        assert server.violations == []


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


@pytest.mark.slow
def test_a_build_on_azure_ml_is_handled_to_its_end(
    world: Cloud, workspace: AzureML, origin: GitHttpServer, deployed: Path
) -> None:
    task = world.publish(
        {
            "version": 1,
            "repository": {"url": f"{origin.url}/flowers.git"},
            "runs": [
                {"kind": "training", "name": "train", "command": "python train.py"},
                {"kind": "notebook", "path": "evaluate.ipynb", "needs": ["train"]},
            ],
            "gate": {"metrics": [{"run": "train", "metric": "accuracy", "at_least": 0.9}]},
        }
    )
    with world.host(deployed) as host:
        assert deliver_until_over(host, task) == "succeeded", task.record.issues
        assert host.tick().ok
        assert host.deliver() is None

    assert task.completions == ["succeeded"]
    assert len(workspace.jobs) == 2
    [tests] = task.test_runs
    assert {each.name: each.fields["outcome"] for each in tests.results.values()} == {
        "train": "Passed",
        "evaluate": "Passed",
    }
    key = key_of(task)
    files = make_files(Settings.read(world.settings, in_functions=True))
    result = json.loads(files.read(key, "result.json") or b"{}")
    assert result["verdict"] == "succeeded"
    assert [run["metrics"] for run in result["runs"]] == [{"accuracy": 0.93}, {}]
    assert {"report.html", "runs/train/outputs/model.txt", "runs/evaluate/executed.html"} <= set(
        files.list(key)
    )
    assert world.state.token(key) is None
    secrets = (
        task.properties["AuthToken"],
        GIT_TOKEN,
        workspace.environment["AZURE_CLIENT_SECRET"],
    )
    assert [secret for secret in (*secrets, "sig=") if secret in world.said] == []
    home = Path(world.settings["MLGATE_HOME"])
    assert {path.name for path in home.iterdir()} <= {".gitignore", "repositories", "checkouts"}
