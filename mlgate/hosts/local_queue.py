"""The queue of one `mlgate run`: the emulator, and a client of it that connects early.

Connecting takes the SDK half a second, in which it mostly sleeps: meanwhile the rest is imported.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Self

from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.errors import OrchestrationError


class LocalQueue:
    """Raises `EmulatorError` where it cannot start; ends with the block that it is used in."""

    def __init__(self, name: str) -> None:
        self._emulator = Emulator([QueueConfig(name)])
        self._emulator.start()
        self.connection_string = SecretStr(self._emulator.connection_string)
        self.client = ServiceBusQueue(connect_with_string(self.connection_string), name)
        threading.Thread(target=self._connect, name="queue-client", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close every connection, so that nothing waits for a message any longer."""
        self._emulator.stop()

    def _connect(self) -> None:
        with suppress(OrchestrationError):  # sending raises it again
            self.client.check()
