"""Encodes AMQP 1.0 values: each function returns the bytes of one AMQP type.

The type is never guessed from a Python value, since AMQP has seven kinds of integer and peers
expect a certain one. Compounds are built from encoded elements, so what came from a peer can be
passed on unchanged.

Source: OASIS AMQP 1.0, part 1 (Types).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from uuid import UUID

NULL = b"\x40"
TRUE = b"\x41"
FALSE = b"\x42"
EMPTY_LIST = b"\x45"


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    return struct.pack(">BB", 0x50, value)


def ushort(value: int) -> bytes:
    return struct.pack(">BH", 0x60, value)


def uint(value: int) -> bytes:
    return struct.pack(">BB", 0x52, value) if value < 256 else struct.pack(">BI", 0x70, value)


def ulong(value: int) -> bytes:
    return struct.pack(">BQ", 0x80, value)


def integer(value: int) -> bytes:
    """An `int`: signed, 32 bits."""
    return struct.pack(">Bi", 0x71, value)


def long(value: int) -> bytes:
    return struct.pack(">Bq", 0x81, value)


def timestamp(milliseconds: int) -> bytes:
    """Milliseconds since 1970, UTC."""
    return struct.pack(">Bq", 0x83, milliseconds)


def uuid(value: UUID) -> bytes:
    return b"\x98" + value.bytes


def binary(value: bytes) -> bytes:
    return _variable(0xA0, 0xB0, value)


def string(value: str) -> bytes:
    return _variable(0xA1, 0xB1, value.encode())


def symbol(value: str) -> bytes:
    return _variable(0xA3, 0xB3, value.encode("ascii"))


def _variable(small: int, large: int, content: bytes) -> bytes:
    if len(content) < 256:
        return bytes((small, len(content))) + content
    return struct.pack(">BI", large, len(content)) + content


def array(constructor: int, elements: Iterable[bytes]) -> bytes:
    """An array of encoded elements that all begin with `constructor`."""
    bodies = [element[1:] for element in elements]
    content = bytes((constructor,)) + b"".join(bodies)
    return struct.pack(">BII", 0xF0, len(content) + 4, len(bodies)) + content


def sequence(elements: Iterable[bytes]) -> bytes:
    """A list of encoded elements."""
    parts = list(elements)
    return _compound(0xC0, 0xD0, len(parts), b"".join(parts)) if parts else EMPTY_LIST


def mapping(pairs: Mapping[bytes, bytes]) -> bytes:
    """A map of encoded keys and values."""
    return _compound(0xC1, 0xD1, 2 * len(pairs), b"".join(k + v for k, v in pairs.items()))


def _compound(small: int, large: int, count: int, content: bytes) -> bytes:
    if len(content) < 255 and count < 256:
        return bytes((small, len(content) + 1, count)) + content
    return struct.pack(">BII", large, len(content) + 4, count) + content


def described(code: int, value: bytes) -> bytes:
    """`value` with a numeric descriptor, which pyamqp requires to be a smallulong."""
    return bytes((0x00, 0x53, code)) + value
