"""Messages: what the sender wrote is handed on byte for byte, with the broker's stamps on it."""

import contextlib
from typing import Any
from uuid import UUID

import pytest
from azure.servicebus._pyamqp._decode import decode_payload
from hypothesis import given
from hypothesis import strategies as st

from mlgate.emulators.service_bus import decode, encode, messages, performatives
from mlgate.emulators.service_bus.decode import DecodeError
from mlgate.emulators.service_bus.messages import Stamp

TOKEN = UUID("00112233-4455-6677-8899-aabbccddeeff")
STAMP = Stamp(
    sequence_number=7,
    enqueued_at=1_000,
    state=0,
    delivery_count=2,
    lock_token=TOKEN,
    locked_until=31_000,
)


def section(code: int, value: bytes) -> bytes:
    return encode.described(code, value)


def fields(**at: bytes) -> bytes:
    """A list with encoded fields at some indexes: `_0=...`."""
    indexed = {int(name[1:]): value for name, value in at.items()}
    size = max(indexed, default=-1) + 1
    return encode.sequence([indexed.get(index, encode.NULL) for index in range(size)])


PROPERTIES = section(0x73, fields(_0=encode.string("id"), _3=encode.string("subject")))
BODY = section(0x75, encode.binary(b"one")) + section(0x75, encode.binary(b"two"))


def test_properties_and_body_are_handed_on_byte_for_byte() -> None:
    odd = section(0x74, b"\xd1\x00\x00\x00\x09\x00\x00\x00\x02\xa1\x01k\x55\x05")
    footer = section(0x78, encode.mapping({encode.symbol("f"): encode.uint(1)}))
    sent = PROPERTIES + odd + BODY + footer
    assert messages.stamped(messages.split(sent), STAMP).endswith(sent)


def as_the_sdk_reads(message: bytes) -> Any:
    """Its sections are optional to the SDK's types; a test that misses one fails on its own."""
    return decode_payload(memoryview(message))


def test_the_sdk_reads_the_stamps() -> None:
    received = as_the_sdk_reads(messages.stamped(messages.split(BODY), STAMP))
    assert received.header.delivery_count == 2
    assert received.delivery_annotations == {b"x-opt-lock-token": TOKEN}
    assert received.message_annotations == {
        b"x-opt-sequence-number": 7,
        b"x-opt-enqueued-time": 1_000,
        b"x-opt-locked-until": 31_000,
        b"x-opt-message-state": 0,
    }
    assert received.data == [b"one", b"two"]


def test_the_senders_annotations_stay_beside_the_brokers_own() -> None:
    annotations = {
        encode.symbol("x-opt-partition-key"): encode.string("p"),
        encode.symbol("x-opt-sequence-number"): encode.long(999),  # of an earlier life
    }
    sent = section(0x71, encode.mapping({encode.symbol("mine"): encode.uint(1)}))
    sent += section(0x72, encode.mapping(annotations)) + BODY
    received = as_the_sdk_reads(messages.stamped(messages.split(sent), STAMP))
    assert received.delivery_annotations[b"mine"] == 1
    assert received.message_annotations[b"x-opt-partition-key"] == b"p"
    assert received.message_annotations[b"x-opt-sequence-number"] == 7


def test_reasons_of_a_dead_lettering_are_spliced_into_the_application_properties() -> None:
    pairs = {
        encode.string("kept"): encode.long(1),
        encode.string("DeadLetterReason"): encode.string("an earlier one"),
    }
    sent = section(0x74, encode.mapping(pairs)) + BODY
    stamp = Stamp(7, 1_000, 0, 2, dead_letter_properties={"DeadLetterReason": "Bad"})
    received = as_the_sdk_reads(messages.stamped(messages.split(sent), stamp))
    assert received.application_properties == {b"kept": 1, b"DeadLetterReason": b"Bad"}


def test_a_header_keeps_what_the_sender_said() -> None:
    header = section(0x70, fields(_0=encode.TRUE, _1=encode.ubyte(9), _2=encode.uint(5_000)))
    stamped = messages.stamped(messages.split(header + BODY), STAMP)
    received = as_the_sdk_reads(stamped).header
    assert (received.durable, received.priority, received.ttl) == (True, 9, 5_000)


def test_the_queues_time_to_live_is_told_when_the_sender_named_none() -> None:
    stamp = Stamp(7, 1_000, 0, 0, ttl=60_000)
    stamped = messages.stamped(messages.split(BODY), stamp)
    assert as_the_sdk_reads(stamped).header.ttl == 60_000


def test_the_broker_learns_id_time_to_live_and_schedule() -> None:
    sent = section(0x70, fields(_2=encode.uint(5_000)))
    annotation = {encode.symbol("x-opt-scheduled-enqueue-time"): encode.timestamp(9_000)}
    sent += section(0x72, encode.mapping(annotation)) + PROPERTIES + BODY
    facts = messages.facts(messages.split(sent))
    assert (facts.message_id, facts.ttl, facts.scheduled_for) == (
        encode.string("id"),
        5_000,
        9_000,
    )


def test_a_time_to_live_over_the_headers_width_is_that_of_the_absolute_expiry() -> None:
    century = 100 * 365 * 86_400_000
    properties = fields(_8=encode.timestamp(1_000 + century), _9=encode.timestamp(1_000))
    sent = section(0x70, fields(_2=encode.uint(2**32 - 1))) + section(0x73, properties) + BODY
    assert messages.facts(messages.split(sent)).ttl == century


def test_times_beyond_all_reason_are_bounded() -> None:
    """They are stored as 64 bits, and added to each other."""
    annotation = {encode.symbol("x-opt-scheduled-enqueue-time"): encode.ulong(2**64 - 1)}
    expiry = fields(_8=encode.long(2**63 - 1), _9=encode.long(-(2**63)))
    sent = section(0x72, encode.mapping(annotation)) + section(0x73, expiry) + BODY
    facts = messages.facts(messages.split(sent))
    assert facts.ttl is not None
    assert facts.scheduled_for is not None
    assert facts.ttl + facts.scheduled_for <= 2**63


def test_ids_of_different_types_differ() -> None:
    one, other = (
        messages.facts(messages.split(section(0x73, fields(_0=raw)) + BODY)).message_id
        for raw in (encode.string("1"), encode.ulong(1))
    )
    assert one != other


def test_a_batch_is_its_messages() -> None:
    one, two = PROPERTIES + BODY, BODY
    envelope = PROPERTIES + section(0x75, encode.binary(one)) + section(0x75, encode.binary(two))
    assert messages.batch(envelope) == [one, two]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x40",
        section(0x24, encode.EMPTY_LIST) + BODY,
        PROPERTIES + PROPERTIES,
        PROPERTIES[:-1],
        section(0x73, encode.mapping({})),
        section(0x72, encode.sequence([encode.NULL])),
        section(0x74, encode.mapping({encode.sequence([encode.NULL]): encode.NULL})),
    ],
    ids=lambda payload: payload[:10].hex(),
)
def test_what_is_no_message_is_an_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        messages.facts(messages.split(payload))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(payload: bytes) -> None:
    try:
        message = messages.split(payload)
        messages.facts(message)
    except DecodeError:
        return
    messages.stamped(message, STAMP)


@given(st.sampled_from([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x41]), st.data())
def test_any_fields_are_a_performative_or_an_error(code: int, data: st.DataObject) -> None:
    pool = [
        encode.NULL,
        encode.TRUE,
        encode.uint(1),
        encode.long(-1),
        encode.ulong(2**64 - 1),
        encode.string("a"),
        encode.binary(b"a"),
        encode.sequence([encode.NULL]),
        encode.described(0x28, encode.EMPTY_LIST),
    ]
    body = encode.sequence(data.draw(st.lists(st.sampled_from(pool), max_size=12)))
    try:
        performative, payload = performatives.parse(encode.described(code, body) + b"payload")
    except DecodeError:
        return
    assert payload == b"payload"
    assert all(not isinstance(field, int) or 0 <= field < 2**32 for field in performative)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_frame_or_an_error(body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        performatives.parse(body)


def test_a_descriptor_of_any_width_is_understood() -> None:
    wide = b"\x00\x80\x00\x00\x00\x00\x00\x00\x00\x75" + encode.binary(b"one")
    assert messages.split(wide).body == section(0x75, encode.binary(b"one"))
    assert decode.whole(encode.binary(b"one")) == b"one"
