"""A hostile peer loses its connection; everybody else goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from azure.servicebus import ServiceBusClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlgate.emulators.service_bus import Emulator, QueueConfig, decode, encode, frames
from mlgate.emulators.service_bus.frames import AMQP_HEADER, SASL_HEADER
from tests.contract.emulators.service_bus.conftest import send, texts

SASL_INIT = frames.frame(
    0, encode.described(0x41, encode.sequence([encode.symbol("ANONYMOUS")])), frames.SASL
)
OPEN = frames.frame(0, encode.described(0x10, encode.sequence([encode.string("peer")])))
BEGIN = frames.frame(
    1,
    encode.described(
        0x11, encode.sequence([encode.NULL, encode.uint(0), encode.uint(100), encode.uint(100)])
    ),
)
GREETING = SASL_HEADER + SASL_INIT + AMQP_HEADER + OPEN + BEGIN


def terminus(code: int, address: str) -> bytes:
    return encode.described(code, encode.sequence([encode.string(address)]))


def attach(handle: int, address: str, *, receives: bool) -> bytes:
    fields = [
        encode.string(f"link-{handle}"),
        encode.uint(handle),
        encode.boolean(receives),
        encode.NULL,
        encode.NULL,
        terminus(0x28, address),
        terminus(0x29, address),
    ]
    return frames.frame(1, encode.described(0x12, encode.sequence(fields)))


def transfer(handle: int, payload: bytes, *, more: bool = False) -> bytes:
    body = frames.transfer(handle, 0, b"t", settled=False, more=more)
    return frames.frame(1, body + payload)


def exchange(emulator: Emulator, data: bytes) -> bytes:
    """What the broker answers until it closes, or until it has said all."""
    port = int(emulator.connection_string.split(":")[2].split(";")[0])
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while chunk := peer.recv(65_536):
                answer += chunk
        except ConnectionError:
            pass
    return answer


def performatives_of(answer: bytes) -> list[tuple[int, list[object]]]:
    """The performatives after the headers, as codes and fields."""
    found, offset = [], 0
    while offset < len(answer):
        if answer[offset : offset + 4] == b"AMQP":
            offset += 8
            continue
        size = int.from_bytes(answer[offset : offset + 4], "big")
        if size > 8:
            value, _ = decode.value_at(answer[offset + 8 : offset + size])
            found.append((value.descriptor, value.value))
        offset += size
    return found


def closing_error(answer: bytes) -> str | None:
    """The condition that the broker closed the connection with."""
    for code, fields in performatives_of(answer):
        if code == 0x18 and isinstance(fields[0], decode.Described):
            return str(fields[0].value[0])
    return None


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", None),
        (SASL_HEADER + b"\xff" * 100, None),
        (SASL_HEADER + frames.frame(0, frames.sasl_outcome(0), frames.SASL), None),
        (SASL_HEADER + SASL_INIT + AMQP_HEADER + BEGIN, None),
        (GREETING + b"\xff\xff\xff\xff\x02\x00\x00\x00", "amqp:connection:framing-error"),
        (GREETING + b"\x00\x00\x00\x09\x00\x00\x00\x00\x00", "amqp:connection:framing-error"),
        (GREETING + frames.frame(1, b"\x00" * 1000), "amqp:decode-error"),
        (GREETING + frames.frame(1, b"\xd0\xff"), "amqp:decode-error"),
        (GREETING + BEGIN, "amqp:decode-error"),
        (GREETING + OPEN, "amqp:decode-error"),
        (GREETING + attach(99_999, "$cbs", receives=True), "amqp:decode-error"),
        (GREETING + attach(1, "$cbs", receives=False) * 2, "amqp:decode-error"),
        (
            GREETING + attach(1, "$cbs", receives=False) + transfer(1, b"no message"),
            "amqp:decode-error",
        ),
    ],
)
def test_what_is_out_of_place_closes_that_connection(
    emulator: Emulator, client: ServiceBusClient, data: bytes, condition: str | None
) -> None:
    answer = exchange(emulator, data)
    assert closing_error(answer) == condition
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        assert texts(receiver.peek_messages(1)) == ["a"]


@pytest.mark.parametrize("receives", [True, False])
@pytest.mark.parametrize("address", ["jobs", "jobs/$management", "nowhere"])
def test_without_a_token_there_is_nothing_to_attach_to(
    emulator: Emulator, receives: bool, address: str
) -> None:
    answer = exchange(emulator, GREETING + attach(1, address, receives=receives))
    (detach,) = [fields for code, fields in performatives_of(answer) if code == 0x16]
    problem = detach[2]
    assert isinstance(problem, decode.Described)
    assert problem.value[0] == "amqp:unauthorized-access"


def test_transactions_are_refused(emulator: Emulator) -> None:
    fields = [
        *(encode.string("control"), encode.uint(1), encode.boolean(False), encode.NULL),
        *(encode.NULL, terminus(0x28, "here")),
        encode.described(0x30, encode.sequence([encode.symbol("amqp:local-transactions")])),
    ]
    answer = exchange(
        emulator, GREETING + frames.frame(1, encode.described(0x12, encode.sequence(fields)))
    )
    (detach,) = [fields for code, fields in performatives_of(answer) if code == 0x16]
    problem = detach[2]
    assert isinstance(problem, decode.Described)
    assert problem.value[0] == "amqp:not-implemented"


@pytest.mark.parametrize("request_line", [b"GET /jobs", b"PUT /jobs?api-version=2021-05"])
def test_http_is_refused_in_http(emulator: Emulator, request_line: bytes) -> None:
    answer = exchange(emulator, request_line + b" HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 501 Not Implemented\r\n")


def test_a_delivery_without_end_is_not_kept(emulator: Emulator) -> None:
    """5 MB in one delivery: dropped beyond the limit, and refused when it ends."""
    part = transfer(1, b"x" * 60_000, more=True)
    data = GREETING + attach(1, "$cbs", receives=False) + part * 85 + transfer(1, b"")
    answer = exchange(emulator, data)
    (disposition,) = [fields for code, fields in performatives_of(answer) if code == 0x15]
    state = disposition[4]
    assert isinstance(state, decode.Described)
    assert state.descriptor == frames.REJECTED


def test_replies_that_nobody_takes_end_the_connection(emulator: Emulator) -> None:
    request = encode.described(0x77, encode.NULL)
    links = attach(1, "$cbs", receives=False) + attach(2, "$cbs", receives=True)
    answer = exchange(emulator, GREETING + links + transfer(1, request) * 1001)
    assert closing_error(answer) == "amqp:resource-limit-exceeded"


@pytest.fixture(scope="module")
def broker() -> Iterator[Emulator]:
    with Emulator([QueueConfig("jobs")]) as emulator:
        yield emulator


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_and_truncated_frames_never_harm_the_broker(
    broker: Emulator, data: st.DataObject
) -> None:
    session = bytearray(
        GREETING
        + attach(1, "$cbs", receives=False)
        + attach(2, "$cbs", receives=True)
        + transfer(1, encode.described(0x77, encode.string("token")))
    )
    for _ in range(data.draw(st.integers(1, 5))):
        session[data.draw(st.integers(8, len(session) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(8, len(session)))
    exchange(broker, bytes(session[:end]))
    healthy = exchange(broker, GREETING)
    assert [code for code, _ in performatives_of(healthy)] == [0x40, 0x44, 0x10, 0x11]
