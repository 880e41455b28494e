"""An emulator on loopback, its clock in the test's hands, and the unmodified SDK."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage

from mlgate.emulators.service_bus import Emulator, QueueConfig

LOCK = 30.0


class Clock:
    """The time of day, and as much later as the test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulator(clock: Clock, tmp_path: Path) -> Iterator[Emulator]:
    queues = [
        QueueConfig("jobs", lock_seconds=LOCK, max_delivery=3),
        QueueConfig("mortal", ttl_seconds=60.0, dead_letter_on_expiry=True),
    ]
    with Emulator(queues, file=tmp_path / "queues.db", clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator) -> Iterator[ServiceBusClient]:
    with ServiceBusClient.from_connection_string(
        emulator.connection_string, retry_total=0
    ) as client:
        yield client


def send(client: ServiceBusClient, *messages: ServiceBusMessage | str, queue: str = "jobs") -> None:
    """Sends one by one."""
    with client.get_queue_sender(queue) as sender:
        for message in messages:
            sender.send_messages(
                message if isinstance(message, ServiceBusMessage) else ServiceBusMessage(message)
            )


def texts(messages: list[ServiceBusReceivedMessage]) -> list[str]:
    return [str(message) for message in messages]
