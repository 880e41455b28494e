"""An emulator with a queue for each purpose, and the port on one of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.durable import Envelope

PATIENCE = 60  # seconds; never reached on a machine that is not stuck


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    names = ("listen", "reject", "raise", "later", "at-hand", "afterwards", "peeked", "nameless")
    with Emulator([QueueConfig(name, max_delivery=3) for name in names]) as running:
        yield running


def client_of(emulator: Emulator) -> ServiceBusClient:
    return connect_with_string(lambda: emulator.connection_string)()


def queue_of(emulator: Emulator, name: str) -> ServiceBusQueue:
    return ServiceBusQueue(connect_with_string(lambda: emulator.connection_string), name)


def dead_letters(queue: ServiceBusQueue) -> list[Envelope]:
    """All that are there, with a queue object that has not looked at them before."""
    fresh = ServiceBusQueue(queue._connect, queue._queue)
    found: list[Envelope] = []

    def keep(envelope: Envelope, _: str | None) -> bool:
        found.append(envelope)
        return False

    fresh.mend_dead_letters(keep)
    return found


def peeked(client: ServiceBusClient, name: str, *, dead: bool) -> list[ServiceBusReceivedMessage]:
    """All messages of a queue, or all its dead letters."""
    found: list[ServiceBusReceivedMessage] = []
    with client.get_queue_receiver(name, sub_queue="deadletter" if dead else None) as receiver:
        first = 1
        while page := receiver.peek_messages(250, sequence_number=first):
            found += page
            first = (page[-1].sequence_number or 0) + 1
    return found


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
