"""A worker and messages that nobody should send: it refuses each with a reason, and lives on."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from mlgate.emulators.azure_devops import AzureDevOps, FaultKind, Task
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.hosts.worker import LISTENERS
from mlgate.orchestration.durable import StatePort
from tests.contract.handlers.servicebus_handler.conftest import client_of, peeked
from tests.contract.handlers.servicebus_handler.poison import LARGE, TOKEN, VALID, Poison, poisons
from tests.e2e.commands import MLGATE, environment

QUEUE = "poison"
TOLD = 5  # rejections that a pipeline of ours waits for
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
MOST_GROWTH = 64 << 20  # bytes of memory, however many there were


@dataclass
class Site:
    """A queue, a pipeline, and a worker as a process of its own that writes to `log`."""

    emulator: Emulator
    devops: AzureDevOps
    worker: subprocess.Popen[bytes]
    state: StatePort
    log: Path

    def client(self) -> ServiceBusClient:
        return client_of(self.emulator)

    def drain(self, patience: float) -> None:
        """Wait until nothing waits in the queue."""
        until = time.monotonic() + patience
        with self.client() as client, client.get_queue_receiver(QUEUE) as receiver:
            while receiver.peek_messages(1, sequence_number=1):
                assert self.worker.poll() is None, self.log.read_text()[-5000:]
                assert time.monotonic() < until
                time.sleep(0.2)

    def memory(self, line: str) -> int:
        """Bytes that the worker holds (`VmRSS`), or held at most (`VmHWM`)."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        return int(next(each.split()[1] for each in status.splitlines() if line in each)) << 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Emulator([QueueConfig(QUEUE)]) as emulator, AzureDevOps() as devops:
        settings = {
            "serviceBusConnectionString": emulator.connection_string,
            "serviceBusQueueName": QUEUE,
            "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
            "MLGATE_ALLOWED_REPOSITORIES": str(tmp_path / "missing"),
            "MLGATE_HOME": str(tmp_path / "home"),
            "MLGATE_STATE": f"sqlite:{tmp_path / 'state.db'}",
            "MLGATE_BUILDS": str(tmp_path / "builds"),
        }
        log = tmp_path / "worker.log"
        with running(tmp_path, log, settings) as worker:
            yield Site(emulator, devops, worker, make_state(Settings.read(settings)), log)
        assert devops.violations == []


@contextmanager
def running(folder: Path, log: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        worker = subprocess.Popen(
            [str(MLGATE), "worker"],
            cwd=folder,
            env=environment(folder, **settings),
            stdout=said,
            stderr=said,
        )
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def send(client: ServiceBusClient, messages: list[AmqpAnnotatedMessage]) -> None:
    with client.get_queue_sender(QUEUE) as sender:
        batch = sender.create_message_batch(250_000)
        for message in messages:
            try:
                batch.add_message(message)
            except ValueError:  # it is full
                if len(batch):
                    sender.send_messages(batch)
                batch = sender.create_message_batch(250_000)
                batch.add_message(message)
        sender.send_messages(batch)


def waited_for(devops: AzureDevOps) -> list[tuple[Task, Poison]]:
    """Messages that a step waits for, none of which can be understood."""
    bodies = itertools.cycle([b"", b"[" * 50_000, b'{"version": 2}', b"\xff" * 100])
    found = []
    for body in itertools.islice(bodies, TOLD):
        task = devops.new_task()
        found.append((task, Poison(body, dict(task.properties))))
    return found


def odd_bodies() -> list[AmqpAnnotatedMessage]:
    """AMQP has other kinds of bodies than bytes, and messages without a body."""
    return [
        AmqpAnnotatedMessage(value_body="text"),
        AmqpAnnotatedMessage(value_body={"a": [1, None, b"x"]}),
        AmqpAnnotatedMessage(value_body=None),
        AmqpAnnotatedMessage(sequence_body=[[1, 2], ["x"]]),
        AmqpAnnotatedMessage(data_body=[b"{", b'"version": 1', b"}"]),
        AmqpAnnotatedMessage(data_body=b""),
    ]


def test_what_cannot_be_reported_now_holds_nobody_up_and_is_reported_once(site: Site) -> None:
    """Their organization resets each connection for a while."""
    site.devops.faults.add("*", FaultKind.RESET, times=24)
    told = [*waited_for(site.devops), *waited_for(site.devops)]
    with site.client() as client:
        send(client, [each.message() for _, each in told])
        site.drain(20)
        until = time.monotonic() + 120
        while not all(task.completions for task, _ in told):
            assert time.monotonic() < until, site.log.read_text()[-5000:]
            time.sleep(0.2)
        dead = peeked(client, QUEUE, dead=True)

    assert site.log.read_text().count("is dead-lettered: its pipeline does not answer") >= LISTENERS
    assert [task.completions for task, _ in told] == [["failed"]] * len(told)
    reasons = {(each.dead_letter_reason, bool(each.dead_letter_error_description)) for each in dead}
    assert reasons == {("InvalidMessage", True)}


@pytest.mark.parametrize(
    "count", [300, pytest.param(20_000, marks=pytest.mark.slow(reason="some minutes"))]
)
def test_each_is_refused_with_a_reason_and_the_worker_lives_on(site: Site, count: int) -> None:
    patience = 60 + count / 20
    told = waited_for(site.devops)
    warm = [*poisons(100), Poison(json.dumps(VALID).encode() + b" " * LARGE, {})]
    sent = poisons(count)
    with site.client() as client:
        send(client, [*[each.message() for _, each in told], *odd_bodies()])
        send(client, [each.message() for each in warm])
        site.drain(patience)
        held = [site.memory("VmRSS")]
        began = time.monotonic()
        for first in range(0, count, 1000):
            send(client, [each.message() for each in sent[first : first + 1000]])
            site.drain(patience)
            held.append(site.memory("VmRSS"))
        seconds = time.monotonic() - began
        dead = peeked(client, QUEUE, dead=True)
    most = site.memory("VmHWM")
    print(  # noqa: T201 -- what the run is read for, with -s
        f"{count} in {seconds:.0f} s; {len(dead)} dead letters; MB held after each thousand: "
        f"{[each >> 20 for each in held]}, at most {most >> 20}"
    )
    site.worker.send_signal(signal.SIGTERM)
    assert site.worker.wait(60) == 0, "it was there until the end, and ended in peace"

    assert held[-1] - held[0] < MOST_GROWTH
    assert most - held[0] < 2 * MOST_GROWTH
    reasons = {(each.dead_letter_reason, bool(each.dead_letter_error_description)) for each in dead}
    assert reasons == {("InvalidMessage", True)}

    # What is not among the dead letters was understood: a look at no build, or a build.
    refused = {str(each.message_id) for each in dead}
    understood = [each for each in [*warm, *sent] if each.message_id not in refused]
    assert all(b"look" in each.body for each in understood), understood[:5]
    assert len(understood) < len(sent) / 10
    assert site.state.builds() == []
    remembered = site.state.rejections(len(dead) + 1)
    assert len(remembered) == len(dead)
    assert all(each.reason and each.findings and each.told for each in remembered)

    assert [task.completions for task, _ in told] == [["failed"]] * TOLD
    assert sum(each.token for each in [*warm, *sent]) > count / 10
    said = site.log.read_text()
    tokens = [TOKEN, *(task.properties["AuthToken"] for task, _ in told)]
    assert not [token for token in tokens if token in said]
    assert "Traceback (most recent call last)" not in said
    assert CONTROL.search(said) is None, "nobody's terminal does what a message says"
    assert not [each for each in dead if CONTROL.search(each.dead_letter_error_description or "")]
    for each in remembered:
        assert not [token for token in tokens if token in str(each)]
