"""What the unmodified SDK sees of jobs that run for real."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlgate.emulators.azure_ml import AzureML
from mlgate.emulators.azure_ml.routes import ROUTES
from tests.contract.emulators.azure_ml.support import KEPT, calls, job, training

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


def test_a_job_runs_and_its_outputs_are_downloaded(
    client: MLClient, server: AzureML, code: Path, tmp_path: Path
) -> None:
    client.jobs.create_or_update(training("a", code))
    server.jobs.wait("a")
    done = client.jobs.get("a")
    assert done.status == "Completed"
    assert done.outputs["kept"].path == KEPT
    client.jobs.download("a", download_path=tmp_path / "d", all=True)
    files = {
        str(path.relative_to(tmp_path / "d")): path.read_text()
        for path in (tmp_path / "d").rglob("*")
        if path.is_file()
    }
    assert files == {
        "artifacts/outputs/metrics.json": "{}",
        "artifacts/user_logs/std_log.txt": "trained\n",
        "named-outputs/kept/model.txt": "from the code\n",
    }


@pytest.mark.usefixtures("azurite")  # which skips where it is not installed
def test_datastores_without_keys_are_read_with_an_identity(
    led_to: Callable[[AzureML], MLClient], tmp_path: Path
) -> None:
    from azure.ai.ml import Output

    with AzureML(keyless=True) as server:
        client = led_to(server)
        outputs = {"kept": Output(type="uri_folder", path=KEPT)}
        line = "echo kept > ${{outputs.kept}}/model.txt"
        client.jobs.create_or_update(job("a", line, compute="cpu-cluster", outputs=outputs))
        server.jobs.wait("a")
        client.jobs.download("a", download_path=tmp_path / "d", all=True)
        kept = tmp_path / "d" / "named-outputs" / "kept" / "model.txt"
        assert kept.read_text() == "kept\n"
        assert "datastores.secrets" not in calls(server)
        assert server.violations == []


@pytest.mark.usefixtures("azurite")  # as above
def test_a_job_without_keys_has_an_identity_or_cannot_begin(
    led_to: Callable[[AzureML], MLClient],
) -> None:
    from azure.ai.ml.entities import ManagedIdentityConfiguration, UserIdentityConfiguration

    with AzureML(keyless=True) as server:
        client = led_to(server)
        mine = ManagedIdentityConfiguration(client_id=server.workspace.client_id)
        other = ManagedIdentityConfiguration(client_id="other")
        asked = {
            "user": UserIdentityConfiguration(),
            "managed": ManagedIdentityConfiguration(),
            "mine": mine,
            "other": other,
            "none": None,
        }
        for name, identity in asked.items():
            client.jobs.create_or_update(job(name, "true", identity=identity))
        ended = {name: server.jobs.wait(name) for name in asked}
        refused = [name for name, each in ended.items() if each.status == "Failed"]
        assert refused == ["other", "none"]
        for name in refused:
            error = ended[name].error
            assert error is not None
            assert "ScriptExecution.StreamAccess.Authentication" in error.message
            assert ended[name].started is None
        assert server.violations == []


def test_what_one_job_kept_another_finds(client: MLClient, server: AzureML, code: Path) -> None:
    from azure.ai.ml import Input

    client.jobs.create_or_update(training("a", code))
    server.jobs.wait("a")
    given = Input(type="uri_folder", path=KEPT, mode="ro_mount")
    line = "grep -q 'from the code' ${{inputs.model}}/model.txt"
    client.jobs.create_or_update(job("b", line, inputs={"model": given, "number": 3}))
    assert server.jobs.wait("b").status == "Completed"


def test_jobs_are_listed_over_pages_and_by_tag(client: MLClient, server: AzureML) -> None:
    for number in range(3):
        client.jobs.create_or_update(job(f"j{number}", "true", tags={f"t{number}": "1"}))
    calls(server)
    assert [found.name for found in client.jobs.list()] == ["j2", "j1", "j0"]
    assert calls(server) == ["jobs.list", "jobs.list"]
    assert [found.name for found in client.jobs.list(tag="t1")] == ["j1"]


def test_a_job_is_canceled(client: MLClient, server: AzureML) -> None:
    client.jobs.create_or_update(job("a", "sleep 60"))
    server.jobs.wait("a", "Running")
    client.jobs.begin_cancel("a").wait(timeout=20)
    assert client.jobs.get("a").status == "Canceled"


def test_a_failure_is_told_where_the_sdk_looks_for_it(
    client: MLClient, server: AzureML, capsys: pytest.CaptureFixture[str]
) -> None:
    from azure.ai.ml.exceptions import JobException

    client.jobs.create_or_update(job("a", "echo last words; exit 3"))
    server.jobs.wait("a")
    with pytest.raises(JobException) as failed:
        client.jobs.stream("a")
    told = json.loads(str(failed.value).partition(":")[2])
    assert told["error"]["code"] == "UserError"
    assert told["error"]["message"].endswith("Error: last words\n")
    assert "RunId: a" in capsys.readouterr().out


def test_metrics_of_the_run_are_in_a_store_that_the_job_reads(
    client: MLClient, server: AzureML, tmp_path: Path
) -> None:
    """As MLflow's SQLite store: by the address in MLFLOW_TRACKING_URI."""
    script = (
        "python -c \"import os, sqlite3; path = os.environ['MLFLOW_TRACKING_URI'][10:]; "
        "sqlite3.connect(path).execute('create table metrics (key)'); print(path)\""
    )
    client.jobs.create_or_update(job("a", script))
    assert server.jobs.wait("a").status == "Completed"


def test_every_route_is_one_that_the_unmodified_sdk_asks_for(
    client: MLClient, server: AzureML, code: Path, tmp_path: Path
) -> None:
    """Nothing is answered here that only a client of our own would ask."""
    from azure.ai.ml.entities import Environment, Model
    from azure.ai.ml.exceptions import JobException

    client.environments.create_or_update(Environment(name="mine", version="1", image="i"))
    client.environments.get("mine", "1")
    client.jobs.create_or_update(training("a", code))
    client.jobs.create_or_update(training("b", code))
    client.jobs.create_or_update(job("c", "false"))
    for name in "abc":
        server.jobs.wait(name)
    client.jobs.create_or_update(job("d", "sleep 60"))
    client.jobs.begin_cancel("d").wait(timeout=20)
    with pytest.raises(JobException):
        client.jobs.stream("c")
    assert len(list(client.jobs.list())) == 4
    client.jobs.download("a", download_path=tmp_path / "d", all=True)
    path = "azureml://jobs/a/outputs/kept/paths/model.txt"
    client.models.create_or_update(Model(name="m", version="1", path=path, type="custom_model"))
    client.models.get("m", "1")
    assert len(list(client.models.list("m"))) == 1
    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    asked = {request.call for request in server.requests}
    # Recorded of an older MSAL; the installed one asks it of clouds that it does not know.
    assert {route.name for route in ROUTES} - asked == {"token.discovery"}
