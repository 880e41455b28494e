"""Two workers share a queue and blob storage; each of many builds completes once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.azure_devops import AzureDevOps
from mlgate.emulators.azure_ml import Azurite
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files, make_state
from tests.e2e.commands import MLGATE, PATIENCE, commit, environment, message
from tests.servers.blob_relay import blob_relay

QUEUE = "function-queue"
BUILDS = 200


@contextmanager
def running(folder: Path, log: str, *arguments: str, **settings: str) -> Iterator[None]:
    """A command that is told to end with the block, and is killed where it does not.

    What it says goes to a file: a pipe that nobody reads holds it up once it is full.
    """
    with (folder / log).open("w") as said:
        process = subprocess.Popen(
            [str(MLGATE), *arguments],
            cwd=folder,
            env=environment(folder, **settings),
            stdout=said,
            stderr=said,
        )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, (folder / log).read_text()[-5000:]
    finally:
        process.kill()
        process.wait()


def connection_of(log: Path) -> str:
    """What the emulator prints once it listens."""
    until = time.monotonic() + PATIENCE
    while not (found := re.search(r"Endpoint=\S+", log.read_text())):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found[0]


@pytest.mark.slow(reason="some minutes")
def test_each_build_completes_once(azurite: Azurite, tmp_path: Path, repository: Path) -> None:
    marks = tmp_path / "marks"
    (repository / "train.py").write_text("")
    commit(repository)
    name = uuid.uuid4().hex[:12]
    emulator = running(tmp_path, "emulator.log", "emulator", "--port", "0", "--queue", QUEUE)
    with emulator, blob_relay(azurite) as relay, AzureDevOps() as devops:
        settings = {
            "serviceBusConnectionString": connection_of(tmp_path / "emulator.log"),
            "serviceBusQueueName": QUEUE,
            "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
            "MLGATE_ALLOWED_REPOSITORIES": str(repository),
            "MLGATE_HOME": str(tmp_path / "home"),
            "MLGATE_STATE": relay.container(f"state-{name}"),
            "MLGATE_BUILDS": relay.container(f"builds-{name}"),
            "MLGATE_PARALLEL": "4",
        }
        tasks = [devops.new_task() for _ in range(BUILDS)]
        key = SecretStr(settings["serviceBusConnectionString"])
        queue = ServiceBusQueue(connect_with_string(key.get_secret_value), QUEUE)
        for number, task in enumerate(tasks):
            run = {"kind": "training", "name": "mark", "command": f"echo {number} >> {marks}"}
            body = message(tmp_path, repository, run).read_bytes()
            queue.publish(body, f"message-{number}", task.properties)
        queue.close()

        began = time.monotonic()
        workers = [running(tmp_path, f"{n}.log", "worker", **settings) for n in range(2)]
        with workers[0], workers[1]:
            until = began + 2 * PATIENCE
            for task in tasks:
                task.wait_completed(max(0.1, until - time.monotonic()))
            seconds = time.monotonic() - began
        asked = relay.counted()
        told = [f"{BUILDS} builds in {seconds:.0f} s, {asked.total() / BUILDS:.1f} requests each:"]
        told += [f"{count / BUILDS:8.2f} {call}" for call, count in grouped(asked)]
        print("\n".join(told))  # noqa: T201 -- what the run is read for, with -s

        state, files = make_state(Settings.read(settings)), make_files(Settings.read(settings))
        assert state.due() == []
        assert [task.completions for task in tasks] == [["succeeded"]] * BUILDS
        assert sorted(map(int, marks.read_text().split())) == list(range(BUILDS))
        kept = state.builds(BUILDS + 1)
        assert len(kept) == BUILDS
        for build in kept[:20]:
            result = json.loads(files.read(build.key, "result.json") or b"{}")
            assert result["verdict"] == "succeeded"
            assert state.token(build.key) is None
        assert devops.violations == []


def grouped(asked: Counter[str]) -> list[tuple[str, int]]:
    """Build files are in a folder for each build; here they count as one."""
    found: Counter[str] = Counter()
    for call, count in asked.items():
        verb, _, folder = call.partition(" ")
        of_a_build = len(folder) == 20 and set(folder) <= set("0123456789abcdef")
        found[f"{verb} a build's files" if of_a_build else call] += count
    return found.most_common()
