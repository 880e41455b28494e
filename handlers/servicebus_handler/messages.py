"""Received messages as the port's envelopes."""

from __future__ import annotations

from datetime import UTC, datetime

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from mlgate.orchestration.durable import Envelope


def envelope_of(message: ServiceBusReceivedMessage) -> Envelope:
    """The envelope of this delivery, or of the next one if the message was only peeked at."""
    return Envelope(
        body=_body(message),
        properties={
            _text(key): _text(value)
            for key, value in (message.application_properties or {}).items()
        },
        message_id=message_id_of(
            message.message_id, message.sequence_number, message.enqueued_time_utc
        ),
        delivery_count=(message.delivery_count or 0) + 1,
        enqueued_at=message.enqueued_time_utc,
    )


def message_id_of(
    message_id: object, sequence_number: int | None, enqueued_at: datetime | None
) -> str:
    """The message's id, or a unique one for a message without an id.

    Sequence numbers begin at 1 again in a queue that was recreated, so the time is part of it.
    AMQP counts milliseconds; clients show more digits, each in its own way.
    """
    if message_id:
        return str(message_id)
    if sequence_number is None or enqueued_at is None:
        return ""
    return f"{sequence_number}-{enqueued_at.astimezone(UTC).isoformat(timespec='milliseconds')}"


def _body(message: ServiceBusReceivedMessage) -> bytes:
    """The body's bytes, or the text of an AMQP value, which mlgate never sends."""
    if message.body_type is AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    return message.body if isinstance(message.body, bytes) else str(message.body).encode()


def _text(value: object) -> str:
    """Keys and string values of properties arrive as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
