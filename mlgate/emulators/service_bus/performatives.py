"""What a client sends: performatives as named tuples with checked types.

Only the fields that the broker reads are here; they are always the first ones.

Source: OASIS AMQP 1.0, part 2 (Transport) and part 5.3 (SASL).
"""

from __future__ import annotations

from typing import NamedTuple, get_type_hints

from mlgate.emulators.service_bus import decode
from mlgate.emulators.service_bus.decode import DecodeError, Described

IS_SENDER, IS_RECEIVER = False, True  # values of `role`


class Open(NamedTuple):
    container_id: str
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    idle_time_out: int | None = None  # milliseconds


class Begin(NamedTuple):
    remote_channel: int | None
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int


class Attach(NamedTuple):
    name: str
    handle: int
    role: bool
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Described | None = None
    target: Described | None = None
    unsettled: object = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None


class Flow(NamedTuple):
    next_incoming_id: int | None
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool | None = None
    echo: bool | None = None


class Transfer(NamedTuple):
    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: int | None = None
    state: Described | None = None
    resume: bool | None = None
    aborted: bool | None = None


class Disposition(NamedTuple):
    role: bool
    first: int
    last: int | None = None
    settled: bool | None = None
    state: Described | None = None


class Detach(NamedTuple):
    handle: int
    closed: bool | None = None


class End(NamedTuple):
    error: object = None


class Close(NamedTuple):
    error: object = None


class SaslInit(NamedTuple):
    mechanism: str


Performative = (
    Open | Begin | Attach | Flow | Transfer | Disposition | Detach | End | Close | SaslInit
)

_KINDS: dict[int, type[Performative]] = {
    0x10: Open,
    0x11: Begin,
    0x12: Attach,
    0x13: Flow,
    0x14: Transfer,
    0x15: Disposition,
    0x16: Detach,
    0x17: End,
    0x18: Close,
    0x41: SaslInit,
}


_TYPES = {kind: tuple(get_type_hints(kind).items()) for kind in _KINDS.values()}


def parse(body: bytes) -> tuple[Performative, bytes]:
    """A frame's performative, and the payload after it. Raises DecodeError."""
    value, end = decode.value_at(body)
    if not isinstance(value, Described) or not isinstance(value.value, list):
        raise DecodeError("a frame has no performative")
    kind = _KINDS.get(value.descriptor) if isinstance(value.descriptor, int) else None
    if kind is None:
        raise DecodeError(f"{value.descriptor!r} is not a performative")
    fields = []
    for (name, allowed), field in zip(_TYPES[kind], value.value, strict=False):
        if not isinstance(field, allowed):
            raise DecodeError(f"{name} of {kind.__name__} has the wrong type")
        if isinstance(field, int) and not 0 <= field <= 0xFFFF_FFFF:
            raise DecodeError(f"{name} of {kind.__name__} is out of range")
        fields.append(field)
    try:
        return kind(*fields), body[end:]
    except TypeError:
        raise DecodeError(f"{kind.__name__} lacks a required field") from None
