"""An emulator with a queue for each purpose, and the port on one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.ports import Envelope


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    names = ("listen", "reject", "raise", "later", "at-hand", "afterwards", "given-up")
    with Emulator([QueueConfig(name, max_delivery=3) for name in names]) as running:
        yield running


def queue_of(emulator: Emulator, name: str) -> ServiceBusQueue:
    return ServiceBusQueue(connect_with_string(SecretStr(emulator.connection_string)), name)


def dead_letters(queue: ServiceBusQueue) -> list[Envelope]:
    """Those that were not taken up, and are not now either."""
    found: list[Envelope] = []

    def leave(envelope: Envelope) -> bool:
        found.append(envelope)
        return False

    queue.dead_letters(leave)
    return found
