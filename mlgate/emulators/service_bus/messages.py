"""An AMQP message as its sections, split and joined without re-encoding them.

What the sender wrote must reach the receiver unchanged, but the broker adds its annotations and,
for a dead-lettered message, two application properties. So sections are kept as raw bytes, and
additions are spliced into their maps.

Source: OASIS AMQP 1.0, part 3.2; the `x-opt-` names are those of Service Bus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mlgate.emulators.service_bus import decode, encode
from mlgate.emulators.service_bus.decode import DecodeError, Described

HEADER = 0x70
DELIVERY_ANNOTATIONS = 0x71
MESSAGE_ANNOTATIONS = 0x72
PROPERTIES = 0x73
APPLICATION_PROPERTIES = 0x74
DATA = 0x75
VALUE = 0x77
FOOTER = 0x78

MAX_UINT = 0xFFFF_FFFF
_FOR_EVER = 1 << 62  # milliseconds: a time, and a time to live after it, still fit 64 bits


@dataclass(frozen=True, slots=True)
class Sections:
    """A split message: the raw value of each section, or None.

    `body` has all body sections and the footer, with their descriptors.
    """

    header: bytes | None
    delivery_annotations: bytes | None
    message_annotations: bytes | None
    properties: bytes | None
    application_properties: bytes | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What the broker needs to know about a message. Times are milliseconds."""

    message_id: bytes | None  # encoded, so that ids of different types are not equal
    ttl: int | None
    scheduled_for: int | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the broker adds to a message that it delivers. Times are milliseconds, UTC."""

    sequence_number: int
    enqueued_at: int
    state: int  # 0 active, 1 deferred, 2 scheduled
    delivery_count: int
    ttl: int | None = None  # the queue's, for a message without its own
    lock_token: UUID | None = None
    locked_until: int | None = None
    dead_letter_properties: Mapping[str, str] | None = None


def sections(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Each section's code and raw value, in order. Raises DecodeError."""
    offset = 0
    while offset < len(payload):
        if payload[offset] != 0x00:
            raise DecodeError("a message section has no descriptor")
        descriptor, start = decode.value_at(payload, offset + 1)
        if not isinstance(descriptor, int) or not HEADER <= descriptor <= FOOTER:
            raise DecodeError(f"{descriptor!r} is not a section of a message")
        offset = decode.skip(payload, start)
        yield descriptor, payload[start:offset]


def split(payload: bytes) -> Sections:
    """The sections of an encoded message, in any order: pyamqp puts delivery annotations last.

    Raises DecodeError.
    """
    heads: dict[int, bytes] = {}
    body = bytearray()
    for code, value in sections(payload):
        if DATA <= code <= FOOTER:
            body += encode.described(code, value)
        elif code in heads:
            raise DecodeError("a message has a section twice")
        else:
            heads[code] = value
    return Sections(
        heads.get(HEADER),
        heads.get(DELIVERY_ANNOTATIONS),
        heads.get(MESSAGE_ANNOTATIONS),
        heads.get(PROPERTIES),
        heads.get(APPLICATION_PROPERTIES),
        bytes(body),
    )


def batch(payload: bytes) -> list[bytes]:
    """The encoded messages of a batch (message format 0x80013700), one in each data section."""
    messages = [decode.whole(value) for code, value in sections(payload) if code == DATA]
    if not messages or not all(isinstance(message, bytes) for message in messages):
        raise DecodeError("a batch contains something other than messages")
    return messages


def facts(message: Sections) -> Facts:
    """What the header, properties and annotations of a message ask for.

    A time to live over 2**32 ms does not fit the header; the time from creation to absolute expiry
    is its 64-bit form and takes precedence. Raises DecodeError, also for errors that would only
    show when the message is delivered.
    """
    properties = _fields(message.properties)
    message_id = properties[0] if properties and properties[0] != encode.NULL else None
    created, expires = (_whole(_nth(properties, index)) for index in (9, 8))
    ttl = _whole(_nth(_fields(message.header), 2))
    if expires is not None and created is not None and expires > created:
        ttl = expires - created
    _mapping(message.delivery_annotations)
    _mapping(message.application_properties)
    annotations = _mapping(message.message_annotations)
    scheduled = annotations.get("x-opt-scheduled-enqueue-time")
    if not isinstance(scheduled, int):
        scheduled = None
    return Facts(message_id, _bounded(ttl), _bounded(scheduled))


def _bounded(time: int | None) -> int | None:
    return None if time is None else min(time, _FOR_EVER)


def stamped(message: Sections, stamp: Stamp) -> bytes:
    """The encoded message for delivery."""
    header = [_nth(_fields(message.header), index) for index in range(4)]
    if header[2] == encode.NULL and stamp.ttl is not None:
        header[2] = encode.uint(min(stamp.ttl, MAX_UINT))
    parts = [
        encode.described(HEADER, encode.sequence([*header, encode.uint(stamp.delivery_count)])),
    ]
    instructions = message.delivery_annotations
    if stamp.lock_token is not None:
        instructions = spliced(instructions, {"x-opt-lock-token": encode.uuid(stamp.lock_token)})
    if instructions is not None:
        parts.append(encode.described(DELIVERY_ANNOTATIONS, instructions))
    annotations = {
        "x-opt-sequence-number": encode.long(stamp.sequence_number),
        "x-opt-enqueued-time": encode.timestamp(stamp.enqueued_at),
        "x-opt-message-state": encode.integer(stamp.state),
    }
    if stamp.locked_until is not None:
        annotations["x-opt-locked-until"] = encode.timestamp(stamp.locked_until)
    parts.append(
        encode.described(MESSAGE_ANNOTATIONS, spliced(message.message_annotations, annotations))
    )
    if message.properties is not None:
        parts.append(encode.described(PROPERTIES, message.properties))
    application = message.application_properties
    if stamp.dead_letter_properties:
        additions = {k: encode.string(v) for k, v in stamp.dead_letter_properties.items()}
        application = spliced(application, additions, key=encode.string)
    if application is not None:
        parts.append(encode.described(APPLICATION_PROPERTIES, application))
    return b"".join([*parts, message.body])


def spliced(
    raw: bytes | None, additions: Mapping[str, bytes], *, key: Any = encode.symbol
) -> bytes:
    """A map's raw bytes with `additions`, which replace entries of the same names."""
    elements = _elements(raw, 0xC1, 0xD1)
    kept = {
        name: value
        for name, value in zip(elements[::2], elements[1::2], strict=True)
        if decode.whole(name) not in additions
    }
    return encode.mapping({**{key(name): value for name, value in additions.items()}, **kept})


def _elements(raw: bytes | None, small: int, large: int) -> list[bytes]:
    """The raw elements of a list or map; empty if it is absent."""
    if raw is None or raw in {encode.NULL, encode.EMPTY_LIST}:
        return []
    if raw[0] not in {small, large}:
        raise DecodeError("a message section has the wrong type")
    offset = 3 if raw[0] == small else 9
    elements = []
    while offset < len(raw):
        end = decode.skip(raw, offset)
        elements.append(raw[offset:end])
        offset = end
    return elements


def _fields(raw: bytes | None) -> list[bytes]:
    return _elements(raw, 0xC0, 0xD0)


def _nth(fields: list[bytes], index: int) -> bytes:
    return fields[index] if index < len(fields) else encode.NULL


def _whole(raw: bytes) -> int | None:
    value = decode.whole(raw)
    return value if isinstance(value, int) else None


def _mapping(raw: bytes | None) -> dict[Any, Any]:
    value = decode.whole(raw) if raw is not None else {}
    if isinstance(value, Described) or not isinstance(value, dict):
        raise DecodeError("a message section has the wrong type")
    return value
