"""The queue of one `mlgate run`: the emulator, and a client that connects early.

The SDK takes half a second to connect, most of it asleep; other imports happen in that time.
"""

from __future__ import annotations

from typing import Self

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, EmulatorError, QueueConfig
from mlgate.orchestration.errors import UnfitHost

NAME = "function-queue"


class LocalQueue:
    """An emulator and its client, stopped at the end of the `with` block.

    Raises `UnfitHost` if the emulator cannot start.
    """

    def __init__(self) -> None:
        self._emulator = Emulator([QueueConfig(NAME)])
        try:
            self._emulator.start()
        except EmulatorError as error:
            raise UnfitHost(str(error)) from error
        self.connection_string = self._emulator.connection_string
        self.client = ServiceBusQueue(connect_with_string(lambda: self.connection_string), NAME)
        self.client.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close every connection, so that nothing keeps waiting for messages."""
        self._emulator.stop()
