"""The worker dies at any moment, with or without a run's supervisor; the build completes once.

Queue, worker and pipeline are processes and servers of their own, as they are in production.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.azure_devops import AzureDevOps, Task
from mlgate.emulators.azure_ml import Azurite
from mlgate.emulators.azure_ml.signatures import account_sas
from tests.e2e.commands import PATIENCE, commit, message, notebook, processes_with, start

QUEUE = "function-queue"


@dataclass
class Site:
    """A queue, a pipeline with one waiting step, and a repository whose runs leave marks."""

    folder: Path
    queue: ServiceBusQueue
    task: Task
    settings: dict[str, str]

    def worker(self) -> subprocess.Popen[str]:
        return start(self.folder, "worker", **self.settings)

    def publish(self) -> None:
        body = (self.folder / "message.json").read_bytes()
        self.queue.publish(body, "the-message", self.task.properties)

    def marks(self) -> list[str]:
        """One line for every execution of an attempt."""
        marks = self.folder / "marks"
        return sorted(marks.read_text().split()) if marks.exists() else []

    def result(self) -> dict[str, Any]:
        [path] = (self.folder / "builds").glob("*/result.json")
        loaded: dict[str, Any] = json.loads(path.read_text())
        return loaded


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    repository = tmp_path / "repository"
    repository.mkdir()
    marks = tmp_path / "marks"
    for name in ("a", "b"):
        notebook(
            repository / f"{name}.ipynb",
            f"open({str(marks)!r}, 'a').write('{name} ')",
            "import time",
            *["time.sleep(0.5)"] * 4,
        )
    commit(repository)
    message(
        tmp_path,
        repository,
        {"kind": "notebook", "path": "a.ipynb"},
        {"kind": "notebook", "path": "b.ipynb", "needs": ["a"]},
        {"kind": "training", "name": "c", "command": f"echo 'c ' >> {marks}; sleep 2"},
        {"kind": "training", "name": "d", "command": f"echo 'd ' >> {marks}", "needs": ["b", "c"]},
    )
    emulator = start(
        tmp_path, "emulator", "--port", "0", "--file", tmp_path / "queue.db",
        "--queue", f"{QUEUE},lock=PT5S,max-delivery=100",
    )  # a row a line # fmt: skip
    assert emulator.stdout is not None
    connection = next(line for line in emulator.stdout if "Endpoint=" in line)
    connection = connection[connection.index("Endpoint=") :].strip()
    with AzureDevOps() as devops:
        queue = ServiceBusQueue(connect_with_string(lambda: connection), QUEUE)
        yield Site(
            tmp_path,
            queue,
            devops.new_task(),
            {
                "serviceBusConnectionString": connection,
                "serviceBusQueueName": QUEUE,
                "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
                "MLGATE_ALLOWED_REPOSITORIES": str(repository),
                "MLGATE_HOME": str(tmp_path / "state"),
                "MLGATE_STATE": f"sqlite:{tmp_path / 'state/state.db'}",
                "MLGATE_BUILDS": str(tmp_path / "builds"),
                "MLGATE_PARALLEL": "2",
            },
        )
        queue.close()
        assert devops.violations == []
    emulator.send_signal(signal.SIGTERM)
    emulator.communicate(timeout=PATIENCE)


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)


def finish(site: Site, worker: subprocess.Popen[str]) -> str | None:
    """The step's result; the worker is stopped as an operator would."""
    assert worker.stderr is not None
    ready = worker.stderr.readline()  # before that, it would not know what to do with a signal
    while ready and "receiving" not in ready:
        ready = worker.stderr.readline()
    result = site.task.wait_completed(PATIENCE)
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, err
    return result


SLOW = pytest.mark.slow(reason="about two minutes")


@pytest.mark.parametrize(
    ("kills", "in_blobs"),
    [(2, False), pytest.param(10, False, marks=SLOW), pytest.param(10, True, marks=SLOW)],
)
def test_killed_at_random_moments_no_attempt_is_executed_twice(
    site: Site, kills: int, in_blobs: bool, request: pytest.FixtureRequest
) -> None:
    if in_blobs:
        storage: Azurite = request.getfixturevalue("azurite")
        signature = account_sas(
            storage.account, storage.key, datetime.now(UTC) + timedelta(hours=1)
        )
        name = f"state-{uuid.uuid4().hex[:12]}"
        site.settings["MLGATE_STATE"] = f"{storage.url}/{storage.account}/{name}?{signature}"
    moments = random.Random(kills)
    site.publish()
    for _ in range(kills):
        worker = site.worker()
        time.sleep(1.0 + moments.random() * 3)
        kill(worker)
    result = finish(site, site.worker())

    assert result == "succeeded"
    assert site.task.completions == ["succeeded"]
    assert site.marks() == ["a", "b", "c", "d"]
    assert site.result()["verdict"] == "succeeded"


def test_killed_together_with_a_supervisor_the_run_is_infrastructure(site: Site) -> None:
    site.publish()
    worker = site.worker()
    deadline = time.monotonic() + PATIENCE
    while "a" not in site.marks() and time.monotonic() < deadline:
        time.sleep(0.05)
    state = str(site.folder / "state")
    supervisors = [
        json.loads(claim.read_text())["pid"]
        for claim in Path(state).glob("attempts/*/claim.json")
        if "-a-" in claim.parent.name
    ]
    kill(worker)
    for pid in supervisors:
        os.kill(pid, signal.SIGKILL)
    result = finish(site, site.worker())

    assert supervisors
    assert result == "failed"
    assert site.task.completions == ["failed"]
    assert site.marks() == ["a", "c"]
    runs = {run["name"]: run for run in site.result()["runs"]}
    assert runs["a"]["failure"]["kind"] == "infrastructure"
    assert runs["b"]["status"] == "skipped"
    assert processes_with(f"{site.folder}/repository") == []
