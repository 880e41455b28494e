"""A thousand builds, and workers that are killed again and again, one of them with a fast clock.

Queue, workers and runs are processes of their own; the pipeline is a server of this one.

    MLGATE_TEST_BUILDS=50 MLGATE_TEST_KILLS=2 .venv/bin/pytest -m slow -s <this file>
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.azure_devops import AzureDevOps, Task
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.orchestration.builds import Verdict
from tests.e2e.commands import MLGATE, PATIENCE, commit, environment, message, processes_with
from tests.e2e.test_two_workers import connection_of, running

QUEUE = "function-queue"
BUILDS = int(os.environ.get("MLGATE_TEST_BUILDS", "1000"))
KILLS = int(os.environ.get("MLGATE_TEST_KILLS", "10"))  # of each worker
WORKERS = 2
FAST = 1  # the number of the worker whose clock is ahead
SEED = 11
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
LIBFAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
# Debian's libfaketime spoils clock_nanosleep with an absolute time, which Python sleeps by.
MENDED_SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds)
"""


@pytest.fixture
def fast_clock(tmp_path: Path) -> dict[str, str]:
    """The variables with which a Python program has a clock that is a minute fast.

    Its runs have the right one: they do not inherit these. A message's lock lasts as long.
    """
    if LIBFAKETIME is None:
        assert "CI" not in os.environ, "a fast clock needs libfaketime (apt-get install faketime)"
        pytest.skip("libfaketime is missing (apt-get install faketime)")
    folder = tmp_path / "mended"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(MENDED_SLEEP)
    variables = {
        "LD_PRELOAD": str(LIBFAKETIME),
        "FAKETIME": "+60s",
        "DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(folder),
    }
    program = [
        str(MLGATE.parent / "python"),
        "-c",
        "import time; time.sleep(.01); print(time.time())",
    ]
    shown = subprocess.run(
        program, env=environment(tmp_path, **variables), capture_output=True, text=True, check=True
    )
    assert 55 < float(shown.stdout) - time.time() < 65
    return variables


@dataclass
class Worker:
    """One that comes back whenever it is killed; what it says goes to `log`."""

    folder: Path
    log: Path
    settings: dict[str, str]
    deaths: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                [str(MLGATE), "worker"],
                cwd=self.folder,
                env=environment(self.folder, **self.settings),
                stdout=said,
                stderr=said,
            )

    def kill(self) -> None:
        assert self.process.poll() is None, self.log.read_text()[-5000:]
        self.process.kill()
        self.process.wait()
        for name in ("faketime_shm", "sem.faketime_sem"):  # of a killed process, they stay
            Path("/dev/shm", f"{name}_{self.process.pid}").unlink(missing_ok=True)
        self.deaths += 1

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def working(workers: list[Worker]) -> Iterator[None]:
    try:
        for worker in workers:
            worker.start()
        yield
    finally:
        for worker in workers:
            with suppress(AttributeError):  # it was never started
                if worker.process.poll() is None:
                    worker.kill()


@pytest.mark.slow(reason="about ten minutes")
def test_none_is_lost_and_none_is_doubled(
    tmp_path: Path, repository: Path, fast_clock: dict[str, str]
) -> None:
    marks = tmp_path / "marks"
    (repository / "train.py").write_text("")
    commit(repository)
    queue_of = f"{QUEUE},lock=PT1M"
    emulator = running(tmp_path, "emulator.log", "emulator", "--port", "0", "--queue", queue_of)
    with emulator, AzureDevOps() as devops:
        settings = {
            "serviceBusConnectionString": connection_of(tmp_path / "emulator.log"),
            "serviceBusQueueName": QUEUE,
            "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
            "MLGATE_ALLOWED_REPOSITORIES": str(repository),
            "MLGATE_HOME": str(tmp_path / "home-of-runs"),
            "MLGATE_STATE": f"sqlite:{tmp_path / 'state.db'}",
            "MLGATE_BUILDS": str(tmp_path / "builds"),
            "MLGATE_PARALLEL": "8",
        }
        connect = connect_with_string(lambda: settings["serviceBusConnectionString"])
        tasks = [devops.new_task() for _ in range(BUILDS)]
        queue = ServiceBusQueue(connect, QUEUE)
        for number, task in enumerate(tasks):
            # Each execution leaves its number, and when it was by a clock that nobody sets.
            command = f"read up _ < /proc/uptime; echo {number} $up >> {marks}; true"
            run = {"kind": "training", "name": "true", "command": command}
            body = message(tmp_path, repository, run, build_id=task.build_id).read_bytes()
            queue.publish(body, f"message-{number}", task.properties)
        queue.close()

        workers = [
            Worker(tmp_path, tmp_path / f"worker-{number}.log", settings)
            for number in range(WORKERS)
        ]
        workers[FAST].settings = settings | fast_clock
        began = uptime()
        with working(workers):
            told = until_all_are_told(tasks, workers)
            assert [worker.end() for worker in workers] == [0] * WORKERS
        seconds = max(told.values()) - began
        assert [worker.deaths for worker in workers] == [KILLS] * WORKERS

        executed = [line.split() for line in marks.read_text().splitlines()]
        waits = [told[int(number)] - float(at) for number, at in executed]
        moments = sorted([began, *told.values()])
        silences = [later - earlier for earlier, later in itertools.pairwise(moments)]
        state = make_state(Settings.read(settings))
        kept = state.builds(BUILDS + 1)
        with connect() as client:
            sent, dead = messages_of(client)
        print(  # noqa: T201 -- what the run is read for, with -s
            f"{BUILDS} builds in {seconds:.0f} s, {BUILDS / seconds * 60:.0f} a minute, "
            f"{sum(worker.deaths for worker in workers)} workers killed; "
            f"{sent} messages, {sum(build.look for build in kept)} looks, {dead} dead letters; "
            f"from a run's execution until its step was told: {sorted(waits)[BUILDS // 2]:.1f} s "
            f"in the middle, {max(waits):.1f} s at most; longest silence {max(silences):.1f} s"
        )

        assert [build.reason for build in kept if build.verdict is not Verdict.SUCCEEDED] == []
        assert [task.completions for task in tasks] == [["succeeded"]] * BUILDS
        assert Counter(int(number) for number, _ in executed) == Counter(range(BUILDS))
        assert len(kept) == BUILDS
        assert state.due() == []
        assert [build.key for build in kept if state.token(build.key) is not None] == []
        assert dead == 0
        assert list((tmp_path / "home-of-runs" / "places").iterdir()) == []
        assert processes_with(settings["MLGATE_HOME"]) == []
        assert devops.violations == []
    for worker in workers:
        assert "Traceback (most recent call last)" not in worker.log.read_text()


def uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def until_all_are_told(tasks: list[Task], workers: list[Worker]) -> dict[int, float]:
    """When each step was told; meanwhile each worker is killed at random moments."""
    moments = random.Random(SEED)
    kills = sorted(
        (moments.randrange(len(tasks) * 9 // 10), worker)
        for worker in range(len(workers))
        for _ in range(KILLS)
    )
    told: dict[int, float] = {}
    changed = uptime()
    while len(told) < len(tasks):
        before = len(told)
        for number, task in enumerate(tasks):
            if number not in told and task.completions:
                told[number] = uptime()
        changed = uptime() if len(told) > before else changed
        assert uptime() < changed + PATIENCE, workers[0].log.read_text()[-5000:]
        if kills and len(told) >= kills[0][0]:
            time.sleep(moments.random() * 2)
            _, worker = kills.pop(0)
            workers[worker].kill()
            workers[worker].start()
        time.sleep(0.1)
    return told


def messages_of(client: ServiceBusClient) -> tuple[int, int]:
    """How many were ever sent to the queue, and how many are among the dead letters."""
    with client.get_queue_sender(QUEUE) as sender:
        at = sender.schedule_messages(ServiceBusMessage(b"the last one"), NEVER)
    with client.get_queue_receiver(QUEUE, sub_queue="deadletter") as receiver:
        dead = receiver.peek_messages(100)
    return at[0], len(dead)
