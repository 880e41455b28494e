"""What the broker sends: frames and performatives as bytes.

Performatives have all their fields, because older versions of pyamqp do not know the meaning of an
omitted one.

Source: OASIS AMQP 1.0, part 2 (Transport) and part 5.3 (SASL).
"""

from __future__ import annotations

import struct

from mlgate.emulators.service_bus import encode
from mlgate.emulators.service_bus.decode import Described
from mlgate.emulators.service_bus.encode import NULL
from mlgate.emulators.service_bus.performatives import IS_RECEIVER, Attach

SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
AMQP, SASL = 0, 1  # frame types

MAX_FRAME = 65_536  # bytes, in both directions
WINDOW = 0x7FFF_FFFF  # transfers; peers are limited by credit, not by the session's window


def frame(channel: int, body: bytes, kind: int = AMQP) -> bytes:
    return struct.pack(">IBBH", len(body) + 8, 2, kind, channel) + body


HEARTBEAT = frame(0, b"")


def error(condition: str, description: str) -> bytes:
    """An error with all three fields, because pyamqp reads them without checking their number."""
    fields = [encode.symbol(condition), encode.string(description), NULL]
    return encode.described(0x1D, encode.sequence(fields))


def open_(container_id: str, channel_max: int) -> bytes:
    fields = [
        encode.string(container_id),
        NULL,
        encode.uint(MAX_FRAME),
        encode.ushort(channel_max),
        *[NULL] * 6,
    ]
    return encode.described(0x10, encode.sequence(fields))


def begin(remote_channel: int, handle_max: int) -> bytes:
    fields = [
        encode.ushort(remote_channel),
        encode.uint(0),
        encode.uint(WINDOW),
        encode.uint(WINDOW),
        encode.uint(handle_max),
        *[NULL] * 3,
    ]
    return encode.described(0x11, encode.sequence(fields))


def attach(request: Attach, source: bytes, target: bytes, max_message_size: int) -> bytes:
    """The answer to `request`: the same link from the other side.

    If source and target are NULL, the client knows that its link is refused and a detach follows.
    """
    fields = [
        encode.string(request.name),
        encode.uint(request.handle),
        encode.boolean(not request.role),
        NULL if request.snd_settle_mode is None else encode.ubyte(request.snd_settle_mode),
        NULL if request.rcv_settle_mode is None else encode.ubyte(request.rcv_settle_mode),
        source,
        target,
        NULL,
        NULL,
        encode.uint(0) if request.role is IS_RECEIVER else NULL,
        encode.ulong(max_message_size),
        *[NULL] * 3,
    ]
    return encode.described(0x12, encode.sequence(fields))


def source(request: Attach) -> bytes:
    return encode.described(0x28, encode.sequence([_address(request.source), *[NULL] * 10]))


def target(request: Attach) -> bytes:
    return encode.described(0x29, encode.sequence([_address(request.target), *[NULL] * 6]))


def _address(terminus: Described | None) -> bytes:
    fields = terminus.value if terminus is not None else None
    address = fields[0] if isinstance(fields, list) and fields else None
    return encode.string(address) if isinstance(address, str) else NULL


def flow(
    next_incoming_id: int,
    next_outgoing_id: int,
    *,
    handle: int | None = None,
    delivery_count: int = 0,
    link_credit: int = 0,
    drain: bool = False,
) -> bytes:
    link = [*[NULL] * 5, encode.FALSE]
    if handle is not None:
        counts = [encode.uint(number) for number in (handle, delivery_count, link_credit)]
        link = [*counts, NULL, encode.boolean(drain), encode.FALSE]
    windows = [
        encode.uint(next_incoming_id),
        encode.uint(WINDOW),
        encode.uint(next_outgoing_id),
        encode.uint(WINDOW),
    ]
    return encode.described(0x13, encode.sequence([*windows, *link, NULL]))


def transfer(handle: int, delivery_id: int, tag: bytes, *, settled: bool, more: bool) -> bytes:
    fields = [
        encode.uint(handle),
        encode.uint(delivery_id),
        encode.binary(tag),
        encode.uint(0),
        encode.boolean(settled),
        encode.boolean(more),
        *[NULL] * 5,
    ]
    return encode.described(0x14, encode.sequence(fields))


def disposition(role: bool, first: int, state: bytes) -> bytes:
    """Settle one delivery."""
    fields = [
        encode.boolean(role),
        encode.uint(first),
        encode.uint(first),
        encode.TRUE,
        state,
        NULL,
    ]
    return encode.described(0x15, encode.sequence(fields))


def detach(handle: int, problem: bytes = NULL, *, closed: bool = True) -> bytes:
    fields = [encode.uint(handle), encode.boolean(closed), problem]
    return encode.described(0x16, encode.sequence(fields))


def end(problem: bytes = NULL) -> bytes:
    return encode.described(0x17, encode.sequence([problem]))


def close(problem: bytes = NULL) -> bytes:
    return encode.described(0x18, encode.sequence([problem]))


def sasl_mechanisms() -> bytes:
    return encode.described(
        0x40, encode.sequence([encode.array(0xA3, [encode.symbol("ANONYMOUS")])])
    )


def sasl_outcome(code: int) -> bytes:
    return encode.described(0x44, encode.sequence([encode.ubyte(code), NULL]))


# Delivery states

RECEIVED = 0x23  # not an outcome: the receiver reports its progress
ACCEPTED = 0x24
REJECTED = 0x25
RELEASED = 0x26
MODIFIED = 0x27

accepted = encode.described(ACCEPTED, encode.EMPTY_LIST)
released = encode.described(RELEASED, encode.EMPTY_LIST)


def rejected(problem: bytes = NULL) -> bytes:
    return encode.described(REJECTED, encode.sequence([problem]))


def modified(*, failed: bool, undeliverable_here: bool) -> bytes:
    fields = [encode.boolean(failed), encode.boolean(undeliverable_here), NULL]
    return encode.described(MODIFIED, encode.sequence(fields))
