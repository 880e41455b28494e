"""Received messages as the port has them."""

from __future__ import annotations

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from mlgate.orchestration.ports import Envelope


def envelope_of(message: ServiceBusReceivedMessage, delivery_count: int) -> Envelope:
    return Envelope(
        body=_body(message),
        properties={
            _text(key): _text(value)
            for key, value in (message.application_properties or {}).items()
        },
        message_id=str(message.message_id or message.sequence_number),
        delivery_count=delivery_count,
    )


def _body(message: ServiceBusReceivedMessage) -> bytes:
    """The body's bytes; of an AMQP value, which no sender of ours makes, its text."""
    if message.body_type is AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    return message.body if isinstance(message.body, bytes) else str(message.body).encode()


def _text(value: object) -> str:
    """Keys and string values of properties arrive as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
