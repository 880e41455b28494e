"""Measures the Service Bus emulator through the real SDK, with messages in memory and in a file.

    make bench [MESSAGES=2000]

The emulator runs in its own process; one client sends and receives messages of 1 KiB. With a file,
a message is acknowledged once it is on the disk.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azure.servicebus import ServiceBusClient, ServiceBusMessage

BODY = b"x" * 1024
BATCH, TAKE = 100, 50
SERVE = (
    "import sys; from pathlib import Path; from mlgate.emulators.service_bus import *;"
    "sys.exit(serve([parse_queue('jobs,dedup=PT0S')], Path(sys.argv[1]) if sys.argv[1] else None))"
)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        columns = [_measured(None, count), _measured(Path(folder) / "queues.db", count)]
    print(f"\n{count} messages of {len(BODY)} bytes\n")
    print(f"{'':<34} {'in memory':>12} {'in a file':>12}")
    for row in columns[0]:
        print(f"{row:<34} {columns[0][row]:>12,.2f} {columns[1][row]:>12,.2f}")


def _measured(file: Path | None, count: int) -> dict[str, float]:
    with _emulator(file) as connection_string, _client(connection_string) as client:
        found = {
            "send one by one, per second": count / _sending(client, count, at_once=1),
            "receive 50 and complete, per second": count / _receiving(client, count),
            "send batches of 100, per second": count / _sending(client, count, at_once=BATCH),
        }
        _receiving(client, count)
        delays = sorted(_delays(client, count // 4))
    return found | {
        "publish to receive, p50 in ms": statistics.median(delays) * 1000,
        "publish to receive, p99 in ms": delays[int(len(delays) * 0.99)] * 1000,
    }


def _sending(client: ServiceBusClient, count: int, *, at_once: int) -> float:
    """Seconds for sending, on a link that is already open."""
    with client.get_queue_sender("jobs") as sender:
        sender.create_message_batch()  # opens the link, to ask for its limit
        began = time.perf_counter()
        for _ in range(count // at_once):
            sender.send_messages([ServiceBusMessage(BODY) for _ in range(at_once)])
        return time.perf_counter() - began


def _receiving(client: ServiceBusClient, count: int) -> float:
    """Seconds for receiving and completing, on a link that the first message opens."""
    with client.get_queue_receiver("jobs") as receiver:
        began, left = 0.0, count
        while left > 0:
            most = TAKE if began else 1
            for message in receiver.receive_messages(min(most, left), max_wait_time=5):
                receiver.complete_message(message)
                left -= 1
            began = began or time.perf_counter()
        return time.perf_counter() - began


def _delays(client: ServiceBusClient, count: int) -> list[float]:
    """Seconds from each send until a waiting receiver has the message."""
    arrived = threading.Event()
    sent_at, found = 0.0, []

    def receive() -> None:
        with client.get_queue_receiver("jobs") as receiver:
            for _ in range(count + 1):
                (message,) = receiver.receive_messages(1, max_wait_time=60)
                found.append(time.perf_counter() - sent_at)
                receiver.complete_message(message)
                arrived.set()

    thread = threading.Thread(target=receive)
    thread.start()
    with client.get_queue_sender("jobs") as sender:
        for _ in range(count + 1):  # the first one opens the links
            arrived.clear()
            sent_at = time.perf_counter()
            sender.send_messages(ServiceBusMessage(BODY))
            arrived.wait()
    thread.join()
    return found[1:]


@contextmanager
def _emulator(file: Path | None) -> Iterator[str]:
    """The connection string of an emulator in its own process."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(file or "")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def _client(connection_string: str) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(connection_string)


if __name__ == "__main__":
    main()
