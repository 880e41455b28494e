"""`kill -9` under load: what was acknowledged is there, what was settled is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

KILLS = 3
SENDERS = 3
LOAD_SECONDS = 4.0  # before each kill
SERVE = (
    "import sys; from pathlib import Path; from mlgate.emulators.service_bus import *;"
    "sys.exit(serve([parse_queue('jobs,max-delivery=50,dedup=PT0S,lock=PT5S')],"
    " Path(sys.argv[1]), int(sys.argv[2])))"
)


class Load:
    """Clients that send, and one that receives, for as long as nobody says stop."""

    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string
        self.stop = threading.Event()
        self.acknowledged: set[str] = set()
        self.received: dict[str, set[int]] = defaultdict(set)  # sequence numbers
        self.settled: set[int] = set()
        self.settled_again: list[int] = []

    def connect(self) -> ServiceBusClient:
        return ServiceBusClient.from_connection_string(
            self.connection_string, retry_total=1, retry_backoff_factor=0.1
        )

    def send(self, sender_number: int) -> None:
        number = 0
        while not self.stop.is_set():
            with (
                suppress(ServiceBusError),
                self.connect() as client,
                client.get_queue_sender("jobs") as sender,
            ):
                while not self.stop.is_set():
                    name = f"{sender_number}-{(number := number + 1)}"
                    sender.send_messages(ServiceBusMessage(name))
                    self.acknowledged.add(name)

    def receive(self) -> None:
        while not self.stop.is_set():
            with suppress(ServiceBusError):
                self.take(self.stop.is_set)

    def take(self, is_enough: Callable[[], bool]) -> None:
        with self.connect() as client, client.get_queue_receiver("jobs") as receiver:
            while not is_enough():
                for message in receiver.receive_messages(20, max_wait_time=1):
                    assert message.sequence_number is not None
                    if message.sequence_number in self.settled:
                        self.settled_again.append(message.sequence_number)
                    self.received[str(message)].add(message.sequence_number)
                    receiver.complete_message(message)
                    self.settled.add(message.sequence_number)

    def missing(self) -> set[str]:
        return self.acknowledged - self.received.keys()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_three_kills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "queues.db"
    process, connection_string = serve(file, 0)
    port = int(connection_string.split(":")[2].split(";")[0])
    load = Load(connection_string)
    threads = [threading.Thread(target=load.send, args=(number,)) for number in range(SENDERS)]
    threads.append(threading.Thread(target=load.receive))
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            before = len(load.acknowledged)
            time.sleep(LOAD_SECONDS)
            assert len(load.acknowledged) > before
            process.kill()
            process.wait(60)
            process, _ = serve(file, port)
        load.stop.set()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + 60
        load.take(lambda: not load.missing() or time.monotonic() > deadline)
    finally:
        load.stop.set()
        process.kill()
        process.communicate(timeout=60)
    # The answer to a send can be lost with the process: the SDK then sends once more.
    duplicated = sum(len(numbers) - 1 for numbers in load.received.values())
    with capsys.disabled():
        sys.stdout.write(
            f"\n{KILLS} kills: {len(load.acknowledged)} messages acknowledged, "
            f"{len(load.missing())} lost, {duplicated} duplicated, "
            f"{len(load.settled_again)} delivered again after their settlement\n"
        )
    assert not load.missing()
    assert not load.settled_again


def serve(file: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """The emulator as a process of its own, and its connection string."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(file), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the emulator does not start"
    return process, line
