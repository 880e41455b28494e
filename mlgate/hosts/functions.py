"""What the function folders share: one application per worker process.

Microsoft's worker creates it when it loads the functions, so wrong settings are reported at the
start, all together, and again for each message: the host starts its listeners anyway, and fails
every message of a function that could not be loaded with the load error (`LoadResponse` and
`SendInvocationRequest` in Azure/azure-functions-host, GrpcWorkerChannel.cs). The deliveries of such
a message run out within seconds. Once the settings are right, the timer recovers these dead
letters.

Nothing here uses the network: a short outage would otherwise stay an error until the process ends.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Protocol

from handlers.servicebus_handler import message_id_of
from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.in_functions import in_worker
from mlgate.hosts.settings import DEFAULT_BUILDS, Settings
from mlgate.orchestration.durable import Envelope, Rejected

log = logging.getLogger("mlgate")


class RejectedError(Exception):
    """The message was recorded as rejected; raising this uses up one of its deliveries."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(f"{rejected.reason}: {rejected.description}")


class Message(Protocol):
    """The part of `azure.functions.ServiceBusMessage` that is used here."""

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
    """The message as the envelope that a worker would receive.

    The extension passes its time in UTC without saying so (`value.EnqueuedTime.DateTime` in
    ServiceBusTriggerBindingStrategy.cs of Azure/azure-sdk-for-net).
    """
    enqueued_at = message.enqueued_time_utc
    if enqueued_at is not None and enqueued_at.tzinfo is None:
        enqueued_at = enqueued_at.replace(tzinfo=UTC)
    return Envelope(
        body=message.get_body(),
        properties={key: str(value) for key, value in message.application_properties.items()},
        message_id=message_id_of(message.message_id, message.sequence_number, enqueued_at),
        delivery_count=message.delivery_count or 1,
        enqueued_at=enqueued_at,
    )


def report_wrong_settings() -> None:
    """Raise `SettingsError` for wrong settings, if Microsoft's worker is loading the functions.

    Anywhere else, function folders can be imported without settings.
    """
    if in_worker():
        application()


@cache
def application() -> Application:
    """The application for this process's settings; raises `SettingsError`."""
    settings = Settings.read(in_functions=in_worker())
    if settings.builds == DEFAULT_BUILDS:
        log.warning(
            "MLGATE_BUILDS is not set: build files stay on this instance and are lost with it. "
            "Set MLGATE_BUILDS to the URL of a blob container."
        )
    return assemble(settings)
