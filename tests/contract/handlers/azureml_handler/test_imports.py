"""What a look loads: a function that wakes up every half minute pays for each import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML
from tests.contract.handlers.azureml_handler.support import Bench

ROOT = Path(__file__).parents[4]
LOOK = """
import json, sys
from datetime import UTC, datetime
import RunNotebookFunctionApp
from mlgate.hosts.functions import application
from mlgate.orchestration.builds import Build, Phase, RepositoryRequest
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task
from tests.support.memory import MemoryFiles

key, workspace, snapshot = sys.argv[1:]
now = datetime.now(UTC)
build = Build(
    key=key, build_id="1", request={}, repository=RepositoryRequest("/r"), backend="azureml",
    received_at=now, deadline=now, phase=Phase.WATCHING, workspace=workspace,
)
backend = application().conductor.ports.backend(build)
attempts = [Attempt(key, name, 1) for name in ("train", "b", "c")]
seen = backend.look(attempts)
spec = RunSpec("train", RunKind.TRAINING, command="true")
outcome = backend.collect(Task(attempts[0], spec, snapshot, "1"), MemoryFiles())
told = [seen[attempts[0]].status, outcome.status, sorted(sys.modules)]
print(json.dumps(told))
"""
HEAVY = (
    "azure.ai", "IPython", "ipykernel", "jupyter_client", "jupyter_core", "nbclient", "nbconvert",
    "nbformat", "mlflow", "git", "dulwich", "marshmallow",
)  # a row a line # fmt: skip


def test_a_look_and_an_end_load_neither_the_sdk_nor_jupyter_nor_git(
    server: AzureML, bench: Bench, tmp_path: Path
) -> None:
    bench.run(bench.task("python train.py"))
    key = "Endpoint=sb://127.0.0.1;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0"
    settings = {
        "MLGATE_BACKEND": "azureml",
        "MLGATE_WORKSPACE": server.workspace_name,
        "MLGATE_STATE": "https://account.blob.core.windows.net/state",
        "MLGATE_BUILDS": "https://account.blob.core.windows.net/builds",
        "PYTHONPATH": str(ROOT),
        "serviceBusConnectionString": f"{key};UseDevelopmentEmulator=true",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK, bench.build, server.workspace_name, bench.snapshot],
        env={**os.environ, **settings},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen, ended, loaded = json.loads(done.stdout)
    assert (seen, ended) == ("succeeded", "succeeded")
    assert [name for name in HEAVY if name in loaded] == []


BARE = """
import sys
from mlgate.orchestration.errors import UnfitHost
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task
from tests.contract.handlers.azureml_handler.support import new_handler
from tests.contract.twins import MovableClock
from tests.support.memory import MemoryFiles

package, build, snapshot, workspace = sys.argv[1:]
sys.modules[package] = None  # what `import` makes of a package that is not there
handler = new_handler(workspace, MovableClock())
spec = RunSpec("train", RunKind.TRAINING, command="true")
task = Task(Attempt(build, "train", 1), spec, snapshot, "1")
for act in (handler.submit, lambda task: handler.collect(task, MemoryFiles())):
    try:
        act(task)
    except UnfitHost as error:
        print(error)
"""


@pytest.mark.parametrize("package", ["azure.ai.ml", "azure.storage.blob"])
def test_a_package_that_is_not_installed_is_told_with_the_remedy(
    package: str, server: AzureML, bench: Bench, tmp_path: Path
) -> None:
    task = bench.task("python train.py")
    bench.run(task)
    done = subprocess.run(
        [sys.executable, "-c", BARE, package, bench.build, task.snapshot, server.workspace_name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sentences = done.stdout.splitlines()
    assert sentences
    for sentence in sentences:
        assert "Install mlgate with the extra `azureml`" in sentence
        assert package in sentence
