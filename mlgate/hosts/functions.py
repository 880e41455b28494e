"""What the function folders share: one application per worker process.

Microsoft's worker makes it when it loads them, so that wrong settings are reported at the start,
all together, and again by each message: the host starts its listeners all the same, and answers
every message of a function that could not be loaded with the error of its loading (`LoadResponse`
and `SendInvocationRequest` in Azure/azure-functions-host, GrpcWorkerChannel.cs). Their deliveries
run out within seconds then; once the settings are right, the timer mends these dead letters.

Nothing is asked of the network here: an outage of a moment would last as long as the process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Protocol

from handlers.servicebus_handler import message_id_of
from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.in_functions import in_worker
from mlgate.hosts.settings import DEFAULT_BUILDS, Settings
from mlgate.orchestration.durable import Envelope, Rejected

log = logging.getLogger("mlgate")


class RejectedError(Exception):
    """The message was recorded as rejected; raising it spends one of its deliveries."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(f"{rejected.reason}: {rejected.description}")


class Message(Protocol):
    """What is used of an `azure.functions.ServiceBusMessage`."""

    def get_body(self) -> bytes: ...

    @property
    def application_properties(self) -> Mapping[str, object]: ...

    @property
    def message_id(self) -> str: ...

    @property
    def sequence_number(self) -> int | None: ...

    @property
    def enqueued_time_utc(self) -> datetime | None: ...

    @property
    def delivery_count(self) -> int | None: ...


def received(message: Message) -> Envelope:
    """The message as the port has it: the same as a worker would make of it."""
    enqueued_at = message.enqueued_time_utc
    return Envelope(
        body=message.get_body(),
        properties={key: str(value) for key, value in message.application_properties.items()},
        message_id=message_id_of(message.message_id, message.sequence_number, enqueued_at),
        delivery_count=message.delivery_count or 1,
        enqueued_at=enqueued_at,
    )


def tell_wrong_settings() -> None:
    """Raise `SettingsError` where Microsoft's worker is about to serve messages with them.

    Elsewhere a function folder can be imported with no settings at all.
    """
    if in_worker():
        application()


@cache
def application() -> Application:
    """The application for this process's settings; raises `SettingsError`."""
    settings = Settings.read(in_functions=in_worker())
    if settings.builds == DEFAULT_BUILDS:
        log.warning(
            "MLGATE_BUILDS is not set: build files stay on this instance, and go with it. Set it "
            "to the URL of a blob container."
        )
    return assemble(settings)
