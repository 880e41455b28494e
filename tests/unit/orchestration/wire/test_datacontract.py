"""What comes out of a body is the text that went in, however it was wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.wire.data_contract import unwrap
from tests.unit.orchestration.wire.samples import BYTES_HEADER, STRING_HEADER, findings_of, wrapped

CAPTURED = bytes.fromhex(
    "4006737472696e670833687474703a2f2f736368656d61732e6d6963726f736f66742e636f6d"
    "2f323030332f31302f53657269616c697a6174696f6e2f99077b2261223a317d"
)

TEXTS = {
    **{f"{size} bytes": "x" * size for size in (0, 1, 123, 125, 149, 150, 255, 256, 65535, 65536)},
    "zero": "0",
    "one": "1",
    "123 bytes of JSON, so that the length byte is a brace": '{"a":"' + "x" * 115 + '"}',
    "short CJK": "模型" * 10,
    "CJK over 255 bytes": "模型" * 100,
    "CJK over 65535 bytes": "模型" * 20000,
    "accents": "é" * 149,
    "beyond the BMP": "🙂" * 40,
    "top-level array": '[{"a": 1}]',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_wrapped_text_comes_out_whole(text: str) -> None:
    assert unwrap(wrapped(text)) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_raw_text_comes_out_whole_and_without_its_bom(text: str) -> None:
    assert unwrap(text.encode()) == text
    assert unwrap(b"\xef\xbb\xbf" + text.encode()) == text


def test_the_captured_body_is_read() -> None:
    assert unwrap(CAPTURED) == '{"a":1}'


def test_the_test_encoder_writes_the_captured_body() -> None:
    assert wrapped('{"a":1}') == CAPTURED


def test_a_bom_inside_the_wrapping_is_dropped() -> None:
    assert unwrap(wrapped("\ufeff{}")) == "{}"


@given(st.text())
def test_any_text_survives_the_wrapping(text: str) -> None:
    assert unwrap(wrapped(text)) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "records",
    [
        b"\x9e\x07" + b'{"a":1}' + b"\x01",
        b"\x9f\x07" + b'{"a":1}',
        b"\xa0\x07\x00" + b'{"a":1}' + b"\x01",
        b"\xa2\x07\x00\x00\x00" + b'{"a":1}' + b"\x01",
        b"\x9e\x06" + b'{"a":1' + b"\x9f\x01" + b"}",
    ],
    ids=["Bytes8", "Bytes8WithEnd", "Bytes16", "Bytes32", "remainder in a record of its own"],
)
def test_a_byte_array_is_read(records: bytes) -> None:
    assert unwrap(BYTES_HEADER + records) == '{"a":1}'


def test_a_character_split_between_two_byte_records_is_put_together() -> None:
    euro = "€".encode()
    assert unwrap(BYTES_HEADER + b"\x9e\x02" + euro[:2] + b"\x9f\x01" + euro[2:]) == "€"


@pytest.mark.parametrize(
    "records",
    [
        b"",
        b"\x99",
        b"\x99\x07{}",
        b"\x98\x02{}",
        b"\x98\x02{}\x01\x00",
        b"\x99\x02{}\x01",
        b"\x9d\xff\xff\xff\xff{}",
        b"\x9b\x02",
        b"\x99\x02\xff\xfe",
        b"\xb7\x03a\x00b",
        b"\xb7\x02\x00\xd8",
        b"\x8c\x05\x01",
        b"\x01\x01",
    ],
    ids=[
        "nothing",
        "no length",
        "truncated",
        "end missing",
        "trailing byte",
        "end twice",
        "negative length",
        "half a length",
        "not UTF-8",
        "odd UTF-16",
        "half a surrogate pair",
        "a number record",
        "empty, end twice",
    ],
)
def test_broken_wrapping_is_a_finding(records: bytes) -> None:
    found = findings_of(unwrap, STRING_HEADER + records)
    assert [finding.code for finding in found] == ["bad-wrapping"]


@pytest.mark.parametrize("raw", [b"\xff", '{"a":1}'.encode("utf-16"), STRING_HEADER[:-1] + b"\xff"])
def test_what_is_neither_utf8_nor_wrapped_is_a_finding(raw: bytes) -> None:
    assert [finding.code for finding in findings_of(unwrap, raw)] == ["not-text"]


@given(st.binary(), st.sampled_from([b"", STRING_HEADER, BYTES_HEADER]))
def test_no_body_makes_it_raise_anything_else(data: bytes, header: bytes) -> None:
    codes = {finding.code for finding in findings_of(unwrap, header + data)}
    assert codes <= {"not-text", "bad-wrapping"}
