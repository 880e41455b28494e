"""The commands around `run`: the queue, the worker, the history."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import PATIENCE, commit, message, mlgate, start

ROOT = Path(__file__).parents[2]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running `mlgate emulator`, which has yet to print its connection string."""
    process = start(tmp_path, "emulator", "--port", "0")
    yield process
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.fixture
def connection(emulator: subprocess.Popen[str]) -> str:
    """Its connection string."""
    assert emulator.stdout is not None
    line = next(line for line in emulator.stdout if "Endpoint=" in line)
    return line[line.index("Endpoint=") :].strip()


StartWorker = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def worker_of(tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers with these settings; those that a failed test leaves are ended."""
    started: list[subprocess.Popen[str]] = []

    def begin(**settings: str) -> subprocess.Popen[str]:
        started.append(start(tmp_path, "worker", **settings))
        return started[-1]

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            process.communicate()


def test_publish_worker_builds_and_cancel_belong_together(
    tmp_path: Path, connection: str, worker_of: StartWorker
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "keep.txt").write_text("")
    commit(repository)
    settings = {
        "serviceBusConnectionString": connection,
        "MLGATE_ALLOWED_REPOSITORIES": str(repository),
    }
    path = message(
        tmp_path,
        repository,
        {"kind": "training", "name": "endless", "command": "sleep 600"},
        build_id="77",
    )
    assert mlgate(tmp_path, "publish", path, **settings).code == 0
    worker = worker_of(**settings)
    deadline = time.monotonic() + PATIENCE
    while "1 running" not in (told := mlgate(tmp_path, "builds", **settings).out):
        assert time.monotonic() < deadline, told
    canceled = mlgate(tmp_path, "cancel", "77", **settings)
    while "failed: The build was canceled" not in (told := mlgate(tmp_path, "builds").out):
        assert time.monotonic() < deadline, told
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=PATIENCE)

    assert (canceled.code, worker.returncode) == (0, 0), err
    [result] = (tmp_path / ".mlgate/builds").glob("*/result.json")
    assert json.loads(result.read_text())["runs"][0]["status"] == "canceled"
    assert "endless" in mlgate(tmp_path, "builds", "77").out
    assert mlgate(tmp_path, "cancel", "77", **settings).code == 0
    assert mlgate(tmp_path, "cancel", "no-such-build", **settings).code == 3


def test_a_repository_that_the_host_does_not_allow_is_rejected(
    tmp_path: Path, connection: str, worker_of: StartWorker
) -> None:
    path = message(tmp_path, "/etc", {"kind": "training", "name": "t", "command": "true"})
    settings = {"serviceBusConnectionString": connection}
    assert mlgate(tmp_path, "publish", path, **settings).code == 0
    worker = worker_of(**settings)
    deadline = time.monotonic() + PATIENCE
    while "MLGATE_ALLOWED_REPOSITORIES" not in (told := mlgate(tmp_path, "builds").out):
        assert time.monotonic() < deadline, told
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=PATIENCE)

    assert "rejected messages" in told


def test_a_worker_leaves_when_told_although_its_queue_fell_silent(
    tmp_path: Path, emulator: subprocess.Popen[str], connection: str, worker_of: StartWorker
) -> None:
    worker = worker_of(serviceBusConnectionString=connection)
    assert worker.stderr is not None
    assert "receiving" in worker.stderr.readline()
    emulator.send_signal(signal.SIGSTOP)
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=PATIENCE)

    assert worker.returncode == 0, err


def test_a_second_emulator_on_a_busy_port_says_so(tmp_path: Path, connection: str) -> None:
    port = connection.split("127.0.0.1:")[1].split(";", maxsplit=1)[0].rstrip("/")
    second = mlgate(tmp_path, "emulator", "--port", port)

    assert second.code == 3
    assert port in second.err
    assert "Traceback" not in second.err


def test_publish_refuses_what_is_not_valid_and_says_when_the_queue_is_away(
    tmp_path: Path, connection: str
) -> None:
    good = message(tmp_path, "/x", {"kind": "training", "name": "t", "command": "true"})
    bad = tmp_path / "bad.json"
    bad.write_text('{"version": 2}')
    settings = {"serviceBusConnectionString": connection}

    assert mlgate(tmp_path, "publish", bad, **settings).code == 2
    away = mlgate(tmp_path, "publish", good, serviceBusQueueName="nowhere", **settings)
    assert (away.code, "nowhere" in away.err) == (3, True)
    assert mlgate(tmp_path, "publish", good).code == 3


def test_the_schema_is_json(tmp_path: Path) -> None:
    done = mlgate(tmp_path, "schema")

    assert json.loads(done.out)["title"] == "mlgate request, version 1"


def test_importing_the_function_loads_neither_git_nor_jupyter_nor_azure_ml() -> None:
    code = (
        "import sys, RunNotebookFunctionApp, SweepBuildsFunctionApp\n"
        "heavy = ('git', 'dulwich', 'nbclient', 'nbformat', 'IPython', 'azure.ai', 'mlflow')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["validate", "--help"]])
def test_help_teaches(tmp_path: Path, arguments: list[str]) -> None:
    done = mlgate(tmp_path, *arguments)

    assert done.code == 0
    assert "message" in done.out
