"""The queue handler, through the real SDK, against the emulator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import Envelope, Rejected
from mlgate.orchestration.shift import Shift
from tests.contract.queue.conftest import dead_letters, queue_of

PATIENCE = 60  # seconds


@contextmanager
def listening(
    queue: ServiceBusQueue, handle: Callable[[Envelope], Rejected | None]
) -> Iterator[list[Envelope]]:
    """The messages that were handled so far."""
    seen: list[Envelope] = []
    shift = Shift()

    def remember(envelope: Envelope) -> Rejected | None:
        seen.append(envelope)
        return handle(envelope)

    thread = threading.Thread(target=queue.listen, args=(shift, remember))
    thread.start()
    try:
        yield seen
    finally:
        shift.end()
        thread.join()
        queue.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_message_arrives_as_it_was_sent_and_is_gone_once_handled(emulator: Emulator) -> None:
    queue = queue_of(emulator, "listen")
    properties = {"PlanUrl": "https://dev.azure.com/o/", "AuthToken": "secret"}
    with listening(queue, lambda _: None) as seen:
        queue.publish(b'{"a": 1}', "the-id", properties)
        queue.send(b"second", "another-id")
        until(lambda: len(seen) == 2)

    assert seen[0] == Envelope(b'{"a": 1}', properties, "the-id", 1)
    assert "secret" not in repr(seen[0])
    assert dead_letters(queue) == []


def test_a_scheduled_message_waits(emulator: Emulator) -> None:
    queue = queue_of(emulator, "later")
    due = datetime.now(UTC) + timedelta(seconds=2)
    with listening(queue, lambda _: None) as seen:
        queue.send(b"x", "id", due)
        until(lambda: seen)

    assert datetime.now(UTC) >= due


def test_a_rejection_is_dead_lettered_with_its_reason_and_not_taken_for_given_up(
    emulator: Emulator,
) -> None:
    queue = queue_of(emulator, "reject")
    with listening(queue, lambda _: Rejected("InvalidMessage", "it is bad")) as seen:
        queue.send(b"x", "id")
        until(lambda: seen)

    assert dead_letters(queue) == []
    connect = connect_with_string(SecretStr(emulator.connection_string))
    with connect() as client, client.get_queue_receiver("reject", sub_queue="deadletter") as dead:
        [message] = dead.receive_messages(1, max_wait_time=PATIENCE)
        assert message.dead_letter_reason == "InvalidMessage"
        assert message.dead_letter_error_description == "it is bad"
        dead.complete_message(message)


def test_an_exception_gives_it_back_until_the_queue_gives_up(emulator: Emulator) -> None:
    def fail(_: Envelope) -> Rejected | None:
        raise Temporary("not now")

    queue = queue_of(emulator, "raise")
    with listening(queue, fail) as seen:
        queue.send(b"x", "id")
        until(lambda: len(seen) == 3)
        until(lambda: dead_letters(queue))

    assert [envelope.delivery_count for envelope in seen] == [1, 2, 3]
    [dead] = dead_letters(queue)
    assert (dead.body, dead.message_id, dead.delivery_count) == (b"x", "id", 1)


def test_every_message_given_up_is_handed_over_until_it_is_taken_up(emulator: Emulator) -> None:
    queue = queue_of(emulator, "given-up")
    count = 150  # more than a page
    for number in range(count):
        queue.send(b"x", str(number))
    connect = connect_with_string(SecretStr(emulator.connection_string))
    with connect() as client, client.get_queue_receiver("given-up") as receiver:
        left = count
        while left:
            for message in receiver.receive_messages(left, max_wait_time=PATIENCE):
                receiver.dead_letter_message(message, reason="MaxDeliveryCountExceeded")
                left -= 1

    assert [each.message_id for each in dead_letters(queue)] == [str(n) for n in range(count)]
    queue.dead_letters(lambda each: each.message_id != "7")
    assert [each.message_id for each in dead_letters(queue)] == ["7"]
    with connect() as client, client.get_queue_receiver("given-up", sub_queue="deadletter") as dead:
        left = count
        while left:
            for message in dead.receive_messages(left, max_wait_time=PATIENCE):
                dead.complete_message(message)
                left -= 1
    assert dead_letters(queue) == []
    assert queue._taken_up == set()


def test_a_queue_that_is_not_there_is_named(emulator: Emulator) -> None:
    with pytest.raises(Permanent, match="The queue nowhere does not exist"):
        queue_of(emulator, "nowhere").send(b"x", "id")


def test_a_wrong_key_is_refused_without_showing_it(emulator: Emulator) -> None:
    wrong = emulator.connection_string.replace("SharedAccessKey=", "SharedAccessKey=AAAA")
    queue = ServiceBusQueue(connect_with_string(SecretStr(wrong)), "listen")

    with pytest.raises(Permanent, match="refused access") as caught:
        queue.send(b"x", "id")
    assert "AAAA" not in str(caught.value)


def test_a_broken_connection_string_is_refused_without_showing_it() -> None:
    queue = ServiceBusQueue(connect_with_string(SecretStr("Endpoint=oops;AAAA")), "q")

    with pytest.raises(Permanent, match="serviceBusConnectionString") as caught:
        queue.send(b"x", "id")
    assert "AAAA" not in f"{caught.value!r}"


def test_a_sender_survives_a_restart_of_the_queue(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("queue") / "queue.db"
    emulator = Emulator([QueueConfig("q")], file=file)
    emulator.start()
    queue = queue_of(emulator, "q")
    queue.send(b"1", "1")
    emulator.stop()
    emulator.start()
    with listening(queue, lambda _: None) as seen:
        try:
            queue.send(b"2", "2")
        except Temporary:
            queue.send(b"2", "2")
        until(lambda: len(seen) == 2)
    emulator.stop()

    assert [envelope.body for envelope in seen] == [b"1", b"2"]
