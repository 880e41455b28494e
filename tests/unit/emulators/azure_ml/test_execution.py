"""Jobs are executed for real: what they find, what they leave, and how they end."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite, FaultKind
from mlgate.emulators.azure_ml.storage import Folder
from tests.unit.emulators.azure_ml.support import Client

KEPT = "azureml://datastores/workspaceblobstore/paths/kept/run/"
OUTPUT = {"out": {"jobOutputType": "uri_folder", "uri": KEPT}}
WRITES = "echo text > ${{outputs.out}}/a.txt; "


def read(server: AzureML, path: str, store: str = "workspaceblobstore") -> str:
    return server.storage.get(Folder(server.workspace.containers[store], path)).decode()


def log(server: AzureML, name: str) -> str:
    path = f"ExperimentRun/dcid.{name}/user_logs/std_log.txt"
    return read(server, path, "workspaceartifactstore")


def told_pid(file: Path) -> int:
    """The id in `file` once it is there, whole."""
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text().strip().endswith(".")):
        assert time.monotonic() < deadline
    return int(file.read_text().strip().strip("."))


def test_a_job_passes_through_the_statuses_of_the_service(client: Client) -> None:
    client.put_job("a", "sleep 60")
    client.put_job("b", "sleep 60")
    client.put_job("c", "true")
    client.server.jobs.wait("a", "Running")
    client.server.jobs.wait("b", "Running")
    assert client.get_job("c").json()["properties"]["status"] == "Queued"
    client.cancel_job("a")
    assert client.server.jobs.wait("c").status == "Completed"


def test_no_more_run_at_once_than_there_are_nodes(azurite: Azurite) -> None:
    with AzureML(azurite=azurite, parallel=1) as server:
        client = Client(server)
        for name in "abc":
            client.put_job(name, "sleep 0.1")
        jobs = sorted((server.jobs.wait(name) for name in "abc"), key=lambda job: job.number)
        for one, other in pairwise(jobs):
            assert one.ended is not None
            assert other.started is not None
            assert one.ended <= other.started


def test_a_job_finds_its_variables_and_a_metric_store_of_its_own(client: Client) -> None:
    client.put_job("a", "echo $GREETING $AZUREML_RUN_ID; echo $MLFLOW_TRACKING_URI",
                   environmentVariables={"GREETING": "hello"})  # a row a line # fmt: skip
    client.server.jobs.wait("a")
    greeting, tracking = log(client.server, "a").splitlines()
    assert greeting == "hello a"
    assert tracking.startswith("sqlite:///")


def test_python_is_the_interpreter_of_the_stand_in(azurite: Azurite, tmp_path: Path) -> None:
    interpreter = tmp_path / "bin" / "python"
    interpreter.parent.mkdir()
    interpreter.write_text("#!/bin/sh\necho it is me\n")
    interpreter.chmod(0o755)
    with AzureML(azurite=azurite, python=interpreter) as server:
        Client(server).put_job("a", "python train.py")
        server.jobs.wait("a")
        assert log(server, "a") == "it is me\n"


def test_a_job_does_not_find_the_variables_of_the_host(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTS_OWN_TOKEN", "secret")
    with AzureML(azurite=azurite) as server:
        Client(server).put_job("a", "env")
        server.jobs.wait("a")
        assert "secret" not in log(server, "a")


def test_an_input_is_what_another_job_left(client: Client) -> None:
    client.put_job("a", WRITES, outputs=OUTPUT)
    client.server.jobs.wait("a")
    given = {"jobInputType": "uri_folder", "uri": KEPT}
    literal = {"jobInputType": "literal", "value": "3"}
    client.put_job(
        "b", "cat ${{inputs.x}}/a.txt; echo ${{ inputs.n }}", inputs={"x": given, "n": literal}
    )
    client.server.jobs.wait("b")
    assert log(client.server, "b") == "text\n3\n"


def test_an_input_that_nobody_left_is_empty(client: Client) -> None:
    given = {"jobInputType": "uri_folder", "uri": KEPT}
    client.put_job("a", "ls ${{inputs.x}}", inputs={"x": given})
    assert client.server.jobs.wait("a").status == "Completed"
    assert log(client.server, "a") == ""


def test_an_input_of_no_datastore_fails_the_job(client: Client) -> None:
    given = {"jobInputType": "uri_folder", "uri": "azureml://datastores/other/paths/a"}
    client.put_job("a", "ls ${{inputs.x}}", inputs={"x": given})
    job = client.server.jobs.wait("a")
    assert job.status == "Failed"
    assert "other" in client.run("a")["error"]["error"]["message"]


@pytest.mark.parametrize(("end", "status"), [("true", "Completed"), ("exit 3", "Failed")])
def test_outputs_are_kept_however_the_job_ends(end: str, status: str, client: Client) -> None:
    client.put_job("a", f"{WRITES} mkdir outputs; echo 1 > outputs/m.json; {end}", outputs=OUTPUT)
    assert client.server.jobs.wait("a").status == status
    assert read(client.server, "kept/run/a.txt") == "text\n"
    artifact = "ExperimentRun/dcid.a/outputs/m.json"
    assert read(client.server, artifact, "workspaceartifactstore") == "1\n"


def test_an_output_without_a_path_goes_where_the_service_puts_it(client: Client) -> None:
    client.put_job("a", WRITES, outputs={"out": {"jobOutputType": "uri_folder"}})
    client.server.jobs.wait("a")
    assert read(client.server, "azureml/a/out/a.txt") == "text\n"


def test_a_failure_is_told_by_run_history_and_not_by_the_job(client: Client) -> None:
    client.put_job("a", "echo last words; exit 3")
    client.server.jobs.wait("a")
    assert "error" not in client.get_job("a").json()["properties"]
    run = client.run("a")
    error = run["error"]["error"]
    assert (run["status"], error["code"]) == ("Failed", "UserError")
    assert "exited with status code 3" in error["message"]
    assert error["message"].endswith("last words\n")
    details = client.send("GET", f"{client.history}/runs/a/details", "v1.0").json()
    assert details["error"] == run["error"]
    text = client.read(details["logFiles"]["user_logs/std_log.txt"])
    assert text.text == "last words\n"


def test_a_canceled_job_keeps_what_it_had(client: Client, tmp_path: Path) -> None:
    client.put_job("a", f"{WRITES} echo $$. > {tmp_path / 'pid'}; sleep 60", outputs=OUTPUT)
    told_pid(tmp_path / "pid")
    answer = client.cancel_job("a")
    assert answer.status_code == 202
    job = client.server.jobs.wait("a", timeout=5)
    assert (job.status, job.error) == ("Canceled", None)
    assert client.send("GET", answer.headers["Location"]).status_code == 200
    assert client.run("a")["cancelationReason"] is None
    assert read(client.server, "kept/run/a.txt") == "text\n"


def test_a_job_that_waits_is_canceled_at_once(azurite: Azurite) -> None:
    with AzureML(azurite=azurite, parallel=1) as server:
        client = Client(server)
        client.put_job("a", "sleep 60")
        client.put_job("b")
        client.cancel_job("b")
        assert client.get_job("b").json()["properties"]["status"] == "Canceled"


def test_canceling_what_is_over_changes_nothing(client: Client) -> None:
    client.put_job("a")
    client.server.jobs.wait("a")
    assert client.cancel_job("a").status_code == 200
    assert client.get_job("a").json()["properties"]["status"] == "Completed"


def test_the_limit_of_a_job_cancels_it_with_that_reason(client: Client) -> None:
    limits = {"jobLimitsType": "Command", "timeout": "PT0.3S"}
    client.put_job("a", "sleep 60", limits=limits)
    assert client.server.jobs.wait("a").status == "Canceled"
    assert "limit" in client.run("a")["cancelationReason"]


def test_the_limit_of_a_job_fails_it_where_that_is_asked_for(azurite: Azurite) -> None:
    with AzureML(azurite=azurite, fails_at_limit=True) as server:
        client = Client(server)
        client.put_job("a", "sleep 60", limits={"jobLimitsType": "Command", "timeout": "PT0.3S"})
        assert server.jobs.wait("a").status == "Failed"
        assert "limit" in client.run("a")["error"]["error"]["message"]
        assert client.run("a")["cancelationReason"] is None


def test_a_preempted_job_fails_and_leaves_nothing(client: Client, tmp_path: Path) -> None:
    client.put_job("a", f"{WRITES} echo $$. > {tmp_path / 'pid'}; sleep 60", outputs=OUTPUT)
    told_pid(tmp_path / "pid")
    client.server.jobs.preempt("a")
    assert client.server.jobs.wait("a").status == "Failed"
    assert client.run("a")["error"]["error"]["code"] == "SystemError"
    place = Folder(client.server.workspace.containers["workspaceblobstore"], "kept/run")
    assert list(client.server.storage.list(place)) == []


def test_a_job_may_disappear(client: Client) -> None:
    client.server.faults.add("execution", FaultKind.VANISH)
    client.put_job("a", "sleep 60")
    with client.server.workspace.changed:
        assert client.server.workspace.changed.wait_for(lambda: len(client.server.jobs) == 0, 10)
    assert client.get_job("a").status_code == 404
    client.put_job("b", "sleep 60")
    client.server.jobs.remove("b")
    assert client.list_jobs().json()["value"] == []


def test_a_status_may_be_unknown_for_a_while(client: Client) -> None:
    client.server.faults.add("execution", FaultKind.UNKNOWN)
    client.put_job("a", "sleep 60")
    client.server.jobs.wait("a", "Unknown")
    assert client.get_job("a").json()["properties"]["status"] == "Unknown"
    client.server.jobs.pretend("a", "NotResponding")
    assert client.get_job("a").json()["properties"]["status"] == "NotResponding"
    client.cancel_job("a")
    assert client.server.jobs.wait("a").status == "Canceled"


# It leaves the job's process group, and tells its id.
STRAY = """
import os, pathlib, sys, time
os.setsid()
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}.")
time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Not so a zombie that nobody has waited for yet."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_ends(pid: int) -> None:
    """It was killed; the kernel may need a moment more."""
    deadline = time.monotonic() + 20
    while runs(pid):
        assert time.monotonic() < deadline


@pytest.mark.skipif(sys.platform != "linux", reason="strays are known by /proc")
@pytest.mark.parametrize("canceled", [True, False], ids=["canceled", "ended by itself"])
def test_nothing_of_a_job_outlives_it(canceled: bool, client: Client, tmp_path: Path) -> None:
    script, told = tmp_path / "stray.py", tmp_path / "pid"
    script.write_text(STRAY)
    end = "wait" if canceled else f"until grep -q . {told}; do sleep 0.05; done"
    client.put_job("a", f"{sys.executable} {script} {told} & {end}")
    stray = told_pid(told)
    if canceled:
        client.cancel_job("a")
    client.server.jobs.wait("a")
    assert_ends(stray)


def test_stopping_the_stand_in_ends_its_jobs(azurite: Azurite, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with AzureML(azurite=azurite) as server:
        Client(server).put_job("a", f"echo $$. > {told}; sleep 60")
        pid = told_pid(told)
        assert runs(pid)
    assert_ends(pid)
