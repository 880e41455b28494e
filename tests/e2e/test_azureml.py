"""`mlgate run --backend azureml` as a person uses it, against the stand-in for Azure ML."""

from __future__ import annotations

import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite, Fault
from tests.e2e.commands import PATIENCE, Done, commit, message, mlgate
from tests.e2e.commands import start as start_mlgate

EXAMPLES = Path(__file__).parents[2] / "examples"
# Of one build alone, of the backend, or measured.
OWN = {"build_id", "backend", "started_at", "finished_at", "duration_seconds", "studio_url"}
OWN |= {"load_seconds", "memory_mb", "p50_ms", "p95_ms", "p99_ms", "requests_per_second"}
OWN |= {"id", "digest"}  # a model that is trained again has other bytes
# Only this one is asked, which is not signed in; others would ask the machine's network.
NO_IDENTITY = {"AZURE_CLIENT_SECRET": None, "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}

Start = Callable[..., AzureML]


@pytest.fixture
def start(azurite: Azurite) -> Iterator[Start]:
    """Start a workspace whose jobs find this `python`."""
    made: list[AzureML] = []

    def start(python: Path = Path(sys.executable), *, keyless: bool = False) -> AzureML:
        storage = None if keyless else azurite
        server = AzureML(azurite=storage, python=python, keyless=keyless)
        made.append(server.__enter__())
        return server

    yield start
    for server in made:
        server.__exit__(None, None, None)
        assert server.violations == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLES, folder / "examples")
    commit(folder)
    return folder


def image(folder: Path) -> Path:
    """The interpreter of an environment such as Azure ML would make: the one made here just now."""
    made = (folder / ".mlgate" / "environments").glob("*/venv")
    fit = (place for place in made if list(place.glob("lib/*/site-packages/ipykernel")))
    return next((place / "bin" / "python" for place in fit), Path(sys.executable))


def on_azure_ml(folder: Path, server: AzureML, *arguments: str | Path, **more: str | None) -> Done:
    """`more` are variables beside those that lead to the workspace; None: not set."""
    given = {**server.environment, "MLGATE_WORKSPACE": server.workspace_name, **more}
    variables = {name: value for name, value in given.items() if value is not None}
    return mlgate(
        folder, "run", *arguments, "--backend", "azureml", "--output", "output", **variables
    )


def comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: comparable(each) for name, each in value.items() if name not in OWN}
    if isinstance(value, str):
        return re.sub(r"@[0-9a-f]{12}\b", "@ID", value)
    return [comparable(each) for each in value] if isinstance(value, list) else value


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("example", ["failing", pytest.param("iris", marks=pytest.mark.slow)])
def test_an_example_ends_as_it_does_on_this_machine(
    tmp_path: Path, repository: Path, start: Start, example: str
) -> None:
    given = (EXAMPLES / example / "message.json", "--repository", repository)
    here = mlgate(tmp_path, "run", *given, "--output", "here")
    local = Done(here.code, here.out, here.err, tmp_path / "here")
    shutil.rmtree(tmp_path / ".mlgate" / "models", ignore_errors=True)  # both promote a first one
    there = on_azure_ml(tmp_path, start(image(tmp_path)), *given)

    assert there.err == "", "nothing of the SDK's shows"
    assert there.result["backend"] == "azureml"
    assert comparable(there.result) == comparable(local.result)
    assert there.code == local.code
    assert files(there.output) == files(local.output)
    assert_led_to_the_studio(there)


def assert_led_to_the_studio(done: Done) -> None:
    for run in done.result["runs"]:
        url = run["studio_url"]
        assert (url is None) is (run["status"] == "skipped")
        if url is not None:
            assert url.startswith("https://ml.azure.com/runs/")
            assert f"{run['name']}: {url}" in done.out.splitlines()
            assert (f"  {url}" in done.out.splitlines()) is (run["status"] == "failed")
            assert url.replace("&", "&amp;") in (done.output / "report.html").read_text()


@pytest.mark.parametrize(("identity", "code"), [("managed", 0), (None, 1)])
def test_a_workspace_without_keys_takes_one_setting(
    tmp_path: Path, repository: Path, start: Start, identity: str | None, code: int
) -> None:
    keep = {"kind": "training", "name": "t", "command": "echo kept > outputs/a"}
    path = message(tmp_path, repository, keep)
    done = on_azure_ml(tmp_path, start(keyless=True), path, MLGATE_JOB_IDENTITY=identity)

    [run] = done.result["runs"]
    assert done.code == code
    assert run["outputs"] == (["runs/t/outputs/a"] if identity else [])
    assert identity or "Set MLGATE_JOB_IDENTITY" in run["failure"]["message"]


@pytest.mark.parametrize(
    ("variables", "code", "sentence"),
    [
        ({"MLGATE_WORKSPACE": ""}, 2, r"Neither the message nor this host names an Azure ML work"),
        (
            {"MLGATE_WORKSPACE": "mine"},
            3,
            r"MLGATE_WORKSPACE: 'mine' is not the name of a workspace",
        ),
        ({"MLGATE_WORKSPACE": "{other}"}, 3, r"MLGATE_WORKSPACE.*workspaces/other' .*not found"),
        (NO_IDENTITY, 3, r"The host has no identity that Azure ML accepts\. Give it"),
    ],
    ids=["no name", "no such name", "no such workspace", "no identity"],
)
def test_what_is_missing_is_one_sentence_with_a_remedy(
    tmp_path: Path,
    repository: Path,
    start: Start,
    variables: dict[str, str | None],
    code: int,
    sentence: str,
) -> None:
    server = start()
    other = server.workspace_name.rpartition("/")[0] + "/other"
    told = {name: value and value.format(other=other) for name, value in variables.items()}
    path = message(tmp_path, repository, {"kind": "training", "name": "t", "command": "true"})
    done = on_azure_ml(tmp_path, server, path, **told)

    assert done.code == code, done.out + done.err
    assert re.search(sentence, done.out + done.err), done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert len(server.jobs) == 0


@pytest.mark.slow
def test_ctrl_c_waits_for_the_end_of_the_jobs_and_again_leaves_without(
    tmp_path: Path, repository: Path, start: Start
) -> None:
    server = start()
    server.faults.add("history.rundata", Fault.answering(404), 999)  # nobody hears of the end
    run = {"kind": "training", "name": "t", "command": "sleep 600"}
    given = ("run", message(tmp_path, repository, run), "--backend", "azureml")
    variables = {**server.environment, "MLGATE_WORKSPACE": server.workspace_name}
    process = start_mlgate(tmp_path, *given, "--output", "output", **variables)
    try:
        while not len(server.jobs):
            assert process.poll() is None
            time.sleep(0.05)
        [job] = server.jobs
        server.jobs.wait(job.name, "Running")
        process.send_signal(signal.SIGINT)
        assert server.jobs.wait(job.name).status == "Canceled"
        time.sleep(1.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "canceling: Azure ML gets 4 minutes at most to end the runs; press Ctrl-C again" in out
    assert "asking the runs to end, then exiting" in err
    assert "  t may still be running: https://ml.azure.com/runs/" in err
