"""Decodes AMQP 1.0 values.

The width of a number is dropped, since nothing reads it: integers become `int`, strings and symbols
`str`. What must be passed on unchanged (message ids, bodies) is cut out with `skip`, not decoded.

Every error in the input is a `DecodeError`. Nesting is limited, and a value cannot have more
elements than bytes, so a hostile frame exhausts neither the stack nor memory.

Source: OASIS AMQP 1.0, part 1 (Types).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

MAX_NESTING = 32


class DecodeError(ValueError):
    """The bytes are not valid AMQP 1.0."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value with its descriptor: a number, or a symbol that names the same type."""

    descriptor: Any
    value: Any


def value_at(data: bytes, offset: int = 0, depth: int = 0) -> tuple[Any, int]:
    """The value at `offset`, and the offset after it."""
    if depth > MAX_NESTING:
        raise DecodeError(f"values are nested deeper than {MAX_NESTING}")
    constructor = _byte(data, offset)
    if constructor == 0x00:
        descriptor, offset = value_at(data, offset + 1, depth + 1)
        value, offset = value_at(data, offset, depth + 1)
        return Described(descriptor, value), offset
    return _value_as(constructor, data, offset + 1, depth)


def whole(data: bytes) -> Any:
    """The only value in `data`."""
    value, end = value_at(data)
    if end != len(data):
        raise DecodeError("bytes are left after the value")
    return value


def skip(data: bytes, offset: int = 0) -> int:
    """The offset after the value at `offset`, which is not decoded."""
    for _ in range(MAX_NESTING):
        constructor = _byte(data, offset)
        offset += 1
        if constructor != 0x00:
            return _end(constructor, data, offset)
        offset = skip_plain(data, offset)
    raise DecodeError(f"values are nested deeper than {MAX_NESTING}")


def skip_plain(data: bytes, offset: int) -> int:
    """As `skip`, for a value that must not be a described one, such as a descriptor."""
    constructor = _byte(data, offset)
    if constructor == 0x00:
        raise DecodeError("a descriptor cannot be a described value")
    return _end(constructor, data, offset + 1)


def _byte(data: bytes, offset: int) -> int:
    if offset >= len(data):
        raise DecodeError("the value ends too early")
    return data[offset]


def _end(constructor: int, data: bytes, offset: int) -> int:
    """The end of the value at `offset`; the high nibble of its constructor decides the width."""
    width = _WIDTHS.get(constructor >> 4)
    if width is None:
        raise DecodeError(f"0x{constructor:02x} is not a constructor")
    fixed, size_field = width
    end = offset + fixed
    if size_field == 1:
        end += _byte(data, offset)
    elif size_field == 4:
        if offset + 4 > len(data):
            raise DecodeError("the value ends too early")
        end += int.from_bytes(data[offset : offset + 4], "big")
    if end > len(data):
        raise DecodeError("the value ends too early")
    return end


# By high nibble of the constructor: the bytes that always follow, and how many of them are a size.
_WIDTHS = {
    0x4: (0, 0),
    0x5: (1, 0),
    0x6: (2, 0),
    0x7: (4, 0),
    0x8: (8, 0),
    0x9: (16, 0),
    0xA: (1, 1),
    0xB: (4, 4),
    0xC: (1, 1),
    0xD: (4, 4),
    0xE: (1, 1),
    0xF: (4, 4),
}

_CONSTANTS = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0}

_FIXED = {
    constructor: struct.Struct(">" + form)
    for constructor, form in {
        0x50: "B",
        0x51: "b",
        0x52: "B",
        0x53: "B",
        0x54: "b",
        0x55: "b",
        0x56: "?",
        0x60: "H",
        0x61: "h",
        0x70: "I",
        0x71: "i",
        0x72: "f",
        0x80: "Q",
        0x81: "q",
        0x82: "d",
        0x83: "q",
    }.items()
}


def _text(content: bytes) -> str:
    return content.decode("utf-8")


def _character(content: bytes) -> str:
    return content.decode("utf-32-be")


def _guid(content: bytes) -> UUID:
    return UUID(bytes=content)


# Decimals stay bytes, because nothing here calculates with them.
_CONTENT: dict[int, Callable[[bytes], Any]] = {
    0x73: _character,
    0x74: bytes,
    0x84: bytes,
    0x94: bytes,
    0x98: _guid,
    0xA0: bytes,
    0xA1: _text,
    0xA3: _text,
    0xB0: bytes,
    0xB1: _text,
    0xB3: _text,
}


def _value_as(constructor: int, data: bytes, offset: int, depth: int) -> tuple[Any, int]:
    if constructor in _CONSTANTS:
        return _CONSTANTS[constructor], offset
    if constructor == 0x45:
        return [], offset
    end = _end(constructor, data, offset)
    form = _FIXED.get(constructor)
    if form is not None:
        return form.unpack_from(data, offset)[0], end
    content = _CONTENT.get(constructor)
    size_field = _WIDTHS[constructor >> 4][1]
    if content is not None:
        try:
            return content(data[offset + size_field : end]), end
        except UnicodeDecodeError as error:
            raise DecodeError("a string is not valid Unicode") from error
    if constructor not in {0xC0, 0xC1, 0xD0, 0xD1, 0xE0, 0xF0}:
        raise DecodeError(f"0x{constructor:02x} is not a constructor")
    return _compound(constructor, data, offset, end, depth), end


def _compound(constructor: int, data: bytes, offset: int, end: int, depth: int) -> Any:
    width = _WIDTHS[constructor >> 4][1]  # of the size, and of the count after it
    offset += width
    if offset + width > end:
        raise DecodeError("the value ends too early")
    count = int.from_bytes(data[offset : offset + width], "big")
    offset += width
    if count > end - offset:  # this also refuses arrays of empty elements, which nobody needs
        raise DecodeError(f"a value claims {count} elements but has no room for them")
    if constructor >= 0xE0:
        return _array(data, offset, count, end, depth)
    values = []
    for _ in range(count):
        value, offset = value_at(data, offset, depth + 1)
        values.append(value)
    if offset != end:
        raise DecodeError("the size of a compound value is not that of its elements")
    if constructor in {0xC0, 0xD0}:
        return values
    if count % 2:
        raise DecodeError("a map has a key without a value")
    try:
        return dict(zip(values[::2], values[1::2], strict=True))
    except TypeError as error:
        raise DecodeError("a key of a map is a compound value") from error


def _array(data: bytes, offset: int, count: int, end: int, depth: int) -> list[Any]:
    if depth > MAX_NESTING:
        raise DecodeError(f"values are nested deeper than {MAX_NESTING}")
    if count == 0:
        return []
    constructor = _byte(data, offset)
    offset += 1
    described_as: list[Any] = []
    if constructor == 0x00:
        descriptor, offset = value_at(data, offset, depth + 1)
        described_as.append(descriptor)
        constructor = _byte(data, offset)
        offset += 1
    values: list[Any] = []
    for _ in range(count):
        value, offset = _value_as(constructor, data, offset, depth + 1)
        values.append(Described(described_as[0], value) if described_as else value)
    if offset != end:
        raise DecodeError("the size of an array is not that of its elements")
    return values
