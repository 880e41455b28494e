"""Requests to AMQP nodes, and their replies: `$cbs`, and `$management` of each queue.

A request is a message with its operation in the application properties. The reply has the request's
id as correlation id, with the same type, so byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlgate.emulators.service_bus import decode, encode, messages
from mlgate.emulators.service_bus.decode import DecodeError
from mlgate.emulators.service_bus.encode import NULL


@dataclass(frozen=True, slots=True)
class Request:
    message_id: bytes  # encoded
    properties: Mapping[Any, Any]  # the application properties
    body: Any  # of the amqp-value section, decoded

    @property
    def operation(self) -> str:
        return str(self.properties.get("operation", ""))


def parse(payload: bytes) -> Request:
    """Read a request. Raises DecodeError."""
    message = messages.split(payload)
    properties = (
        decode.whole(message.application_properties) if message.application_properties else {}
    )
    if not isinstance(properties, dict):
        raise DecodeError("the application properties of a request are not a map")
    body = None
    for code, value in messages.sections(message.body):
        if code == messages.VALUE:
            body = decode.whole(value)
    return Request(messages.facts(message).message_id or NULL, properties, body)


def reply(request: Request, properties: Mapping[str, bytes], body: bytes) -> bytes:
    """The encoded reply, from encoded application properties and an encoded value as body."""
    pairs = {encode.string(name): value for name, value in properties.items()}
    return b"".join(
        [
            encode.described(
                messages.PROPERTIES, encode.sequence([*[NULL] * 5, request.message_id, *[NULL] * 7])
            ),
            encode.described(messages.APPLICATION_PROPERTIES, encode.mapping(pairs)),
            encode.described(messages.VALUE, body),
        ]
    )
