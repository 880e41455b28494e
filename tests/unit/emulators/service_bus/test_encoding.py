"""AMQP values: what is encoded is decoded, and what is hostile is a DecodeError."""

import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.emulators.service_bus import decode, encode
from mlgate.emulators.service_bus.decode import DecodeError, Described

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=300)

# An encoded value, and what it has to be decoded to.
scalars = st.one_of(
    st.just((encode.NULL, None)),
    st.booleans().map(lambda v: (encode.boolean(v), v)),
    st.integers(0, 2**8 - 1).map(lambda v: (encode.ubyte(v), v)),
    st.integers(0, 2**16 - 1).map(lambda v: (encode.ushort(v), v)),
    st.integers(0, 2**32 - 1).map(lambda v: (encode.uint(v), v)),
    st.integers(0, 2**64 - 1).map(lambda v: (encode.ulong(v), v)),
    INT32.map(lambda v: (encode.integer(v), v)),
    INT64.map(lambda v: (encode.long(v), v)),
    INT64.map(lambda v: (encode.timestamp(v), v)),
    st.uuids().map(lambda v: (encode.uuid(v), v)),
    st.binary(max_size=300).map(lambda v: (encode.binary(v), v)),
    TEXT.map(lambda v: (encode.string(v), v)),
    st.text("abc:-", max_size=300).map(lambda v: (encode.symbol(v), v)),
)


def compounds(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(children, max_size=8)
    return st.one_of(
        lists.map(lambda vs: (encode.sequence([raw for raw, _ in vs]), [v for _, v in vs])),
        st.dictionaries(TEXT, children, max_size=8).map(
            lambda d: (
                encode.mapping({encode.string(k): raw for k, (raw, _) in d.items()}),
                {k: v for k, (_, v) in d.items()},
            )
        ),
        children.map(lambda v: (encode.described(0x24, v[0]), Described(0x24, v[1]))),
    )


values = st.recursive(scalars, compounds, max_leaves=30)


@given(values)
def test_what_is_encoded_is_decoded(pair: tuple[bytes, Any]) -> None:
    raw, value = pair
    assert decode.whole(raw) == value
    assert decode.skip(raw) == len(raw)


@given(st.lists(INT64, max_size=300))
def test_arrays_are_decoded_to_lists(numbers: list[int]) -> None:
    raw = encode.array(0x81, [encode.long(number) for number in numbers])
    assert decode.whole(raw) == numbers


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    try:
        _, end = decode.value_at(data)
    except DecodeError:
        return
    assert 0 < end <= len(data)


@given(values, st.data())
def test_a_damaged_value_is_a_value_or_an_error(
    pair: tuple[bytes, Any], data: st.DataObject
) -> None:
    raw = bytearray(pair[0])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode.whole(bytes(raw))
        decode.skip(bytes(raw))
    except DecodeError:
        pass


@given(values)
def test_a_value_cut_short_is_an_error(pair: tuple[bytes, Any]) -> None:
    raw, _ = pair
    with pytest.raises(DecodeError):
        decode.whole(raw[:-1])


def nested(wrap: bytes, depth: int) -> bytes:
    raw = encode.NULL
    for _ in range(depth):
        raw = wrap + raw if wrap else encode.sequence([raw])
    return raw


@pytest.mark.parametrize(
    "raw",
    [
        nested(b"", 1000),
        nested(b"\x00\x53\x24", 1000),  # described values of described values
        b"\x00" * 1000,  # descriptors of descriptors
        b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",  # 2**32 elements without bytes
        b"\xf0\x00\x00\x00\x06\x00\x00\xff\xff\x40\x40",
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\xb0\xff\xff\xff\xff",
        b"\xc1\x04\x03\x40\x40\x40",  # a key without a value
        encode.mapping({encode.sequence([encode.NULL]): encode.NULL}),  # a list as a key
        b"\xa1\x01\xff",  # not UTF-8
        b"\x73\xff\xff\xff\xff",  # not a character
        b"\x3f",
        b"\xa2\x00",
        b"",
    ],
    ids=lambda raw: raw[:8].hex() or "nothing",
)
def test_hostile_bytes_are_an_error(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode.whole(raw)


def test_numbers_of_every_width_are_read() -> None:
    for raw, value in {
        b"\x43": 0,
        b"\x44": 0,
        b"\x51\xff": -1,
        b"\x55\xfe": -2,
        b"\x56\x01": True,
        b"\x61\xff\xfe": -2,
        b"\x72" + struct.pack(">f", 0.5): 0.5,
        b"\x82" + struct.pack(">d", 0.1): 0.1,
        b"\x73\x00\x00\x00A": "A",
        b"\x98" + UUID(int=7).bytes: UUID(int=7),
    }.items():
        assert decode.whole(raw) == value


def test_the_disposition_of_the_facts_is_what_we_write() -> None:
    """The example is of a broker that the SDK was seen to understand."""
    fields = [encode.TRUE, encode.uint(5), encode.uint(5), encode.TRUE]
    accepted = encode.described(0x24, encode.EMPTY_LIST)
    raw = encode.described(0x15, encode.sequence([*fields, accepted]))
    assert raw == bytes.fromhex("005315C00B05415205520541005324 45")
