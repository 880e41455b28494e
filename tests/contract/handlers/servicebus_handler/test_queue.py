"""The queue handler, through the real SDK, against the emulator."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.durable import Envelope, Rejected
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.shift import Shift
from tests.contract.handlers.servicebus_handler.conftest import (
    PATIENCE,
    client_of,
    dead_letters,
    peeked,
    queue_of,
    until,
)


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


def connections_to(emulator: Emulator) -> int:
    """The established connections to its port, seen from the clients' side."""
    port = int(emulator.connection_string.partition("sb://")[2].partition(":")[2].partition(";")[0])
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.fixture
def ahead() -> Iterator[tuple[ServiceBusQueue, Callable[[], int]]]:
    """A queue that is connected ahead, and how many connections there are."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    with Emulator([QueueConfig("q")]) as emulator:
        count = partial(connections_to, emulator)
        queue = queue_of(emulator, "q")
        queue.connect()
        until(lambda: count() == 2)
        yield queue, count
        until(lambda: not count())


def test_a_queue_that_is_connected_ahead_opens_nothing_again(
    ahead: tuple[ServiceBusQueue, Callable[[], int]],
) -> None:
    queue, count = ahead
    with listening(queue, lambda _: None) as seen:
        queue.publish(b"x", "id", {})
        until(lambda: seen)
        assert count() == 2


def test_a_connection_ahead_that_nobody_listens_on_is_closed(
    ahead: tuple[ServiceBusQueue, Callable[[], int]],
) -> None:
    queue, _ = ahead
    queue.close()


def test_what_fails_ahead_is_tried_again(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[ServiceBusClient] = []

    def connect() -> ServiceBusClient:
        tries.append(client_of(emulator))
        if len(tries) <= 2:  # for sending, and for the listener
            raise OSError("no route")
        return tries[-1]

    queue = ServiceBusQueue(connect, "listen")
    queue.connect()
    until(lambda: len(tries) == 2)
    with listening(queue, lambda _: None) as seen:
        queue.publish(b"x", "ahead", {})
        until(lambda: seen)
    assert "the queue listen does not answer: no route" in caplog.text


def test_a_listener_does_not_wait_for_ever_for_a_connection_ahead(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    late, opened = threading.Event(), threading.Event()

    def connect() -> ServiceBusClient:
        if not opened.is_set():
            late.wait(PATIENCE)
        return client_of(emulator)

    queue = ServiceBusQueue(connect, "listen", patience_seconds=0.2)
    queue.connect()
    with listening(queue, lambda _: None):
        until(lambda: "the queue listen does not answer: nothing came" in caplog.text)
        opened.set()
        late.set()


def test_a_message_arrives_as_it_was_sent_and_is_gone_once_handled(emulator: Emulator) -> None:
    queue = queue_of(emulator, "listen")
    properties = {"PlanUrl": "https://dev.azure.com/o/", "AuthToken": "secret"}
    with listening(queue, lambda _: None) as seen:
        queue.publish(b'{"a": 1}', "the-id", properties)
        queue.send(b"second", "another-id")
        until(lambda: len(seen) == 2)

    arrived = {name: seen[0].properties[name] for name in properties}
    assert arrived == properties
    assert (seen[0].body, seen[0].message_id, seen[0].delivery_count) == (b'{"a": 1}', "the-id", 1)
    assert "secret" not in repr(seen[0])
    assert dead_letters(queue) == []


class OffClock:
    """A host's clock that is so many seconds ahead of the emulator's."""

    def __init__(self, off: float) -> None:
        self.off = timedelta(seconds=off)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("off", [-300.0, 0.0, 300.0])
def test_a_pause_is_kept_by_a_host_with_a_wrong_clock(emulator: Emulator, off: float) -> None:
    connect = connect_with_string(lambda: emulator.connection_string)
    queue = ServiceBusQueue(connect, "later", clock=OffClock(off))
    queue.send(b"first", f"first {off}")
    handled = threading.Event()
    with listening(queue, lambda _: handled.set()):
        assert handled.wait(60)
    before = datetime.now(UTC)
    queue.send(b"x", f"id {off}", timedelta(hours=1))
    after = datetime.now(UTC)
    queue.close()

    with client_of(emulator) as client:
        [message] = peeked(client, "later", dead=False)
        at = message.scheduled_enqueue_time_utc
        assert at is not None
        with client.get_queue_sender("later") as sender:
            sender.cancel_scheduled_messages(message.sequence_number or 0)
    # The first message may have waited for its receiver; the broker cuts to milliseconds.
    waited = timedelta(seconds=30)
    assert before - waited <= at - timedelta(hours=1) <= after
    assert after - before < waited


def test_a_message_after_a_pause_is_received_no_earlier(emulator: Emulator) -> None:
    queue = queue_of(emulator, "later")
    due = datetime.now(UTC) + timedelta(seconds=1)
    with listening(queue, lambda _: None) as seen:
        queue.send(b"x", "id", timedelta(seconds=1))
        until(lambda: seen)

    assert datetime.now(UTC) >= due
    assert seen[0].enqueued_at is not None
    assert seen[0].enqueued_at >= due - timedelta(milliseconds=1)


@pytest.mark.parametrize(("off", "said"), [(-42.5, "behind the queue's"), (42.5, "ahead of the")])
def test_a_worker_whose_clock_is_wrong_says_so(
    emulator: Emulator, off: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    connect = connect_with_string(lambda: emulator.connection_string)
    queue = ServiceBusQueue(connect, "listen", clock=OffClock(off))
    with listening(queue, lambda _: None) as seen:
        queue.send(b"x", f"from {off}")
        until(lambda: seen)

    [warning] = [each.getMessage() for each in caplog.records if "clock" in each.getMessage()]
    # What the message took on its way lessens what is proved.
    assert re.search(rf"is at least (42|41|40|3\d) s {said}", warning)


def test_a_message_without_an_id_has_the_same_one_in_each_delivery(emulator: Emulator) -> None:
    queue = queue_of(emulator, "nameless")
    with client_of(emulator) as client, client.get_queue_sender("nameless") as sender:
        # The SDK's own messages are given an id each.
        for body in (b"a", b"b"):
            sender.send_messages(AmqpAnnotatedMessage(data_body=body))

    def fail_once(envelope: Envelope) -> None:
        if envelope.delivery_count == 1:
            raise Temporary("not now")

    with listening(queue, fail_once) as seen:
        until(lambda: len(seen) == 4)

    ids = {envelope.body: envelope.message_id for envelope in seen}
    assert len(set(ids.values())) == 2
    assert {(each.body, each.message_id) for each in seen} == set(ids.items())
    for envelope in seen:
        assert envelope.enqueued_at is not None
        number, _, at = envelope.message_id.partition("-")
        assert number.isdigit()
        assert datetime.fromisoformat(at) == envelope.enqueued_at


def test_a_rejection_is_dead_lettered_with_its_reason(emulator: Emulator) -> None:
    queue = queue_of(emulator, "reject")
    with listening(queue, lambda _: Rejected("InvalidMessage", "it is bad")) as seen:
        queue.send(b"x", "id")
        until(lambda: seen)

    [dead] = dead_letters(queue)
    assert dead.message_id == "id"
    with client_of(emulator) as client:
        [message] = peeked(client, "reject", dead=True)
    assert message.dead_letter_reason == "InvalidMessage"
    assert message.dead_letter_error_description == "it is bad"


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
    assert (dead.body, dead.message_id) == (b"x", "id")
    assert dead.enqueued_at == seen[0].enqueued_at


def test_a_look_at_the_queue_neither_takes_nor_counts_a_delivery(emulator: Emulator) -> None:
    queue = queue_of(emulator, "peeked")
    queue.send(b"x", "id")
    for _ in range(2):
        assert queue.mend_dead_letters(lambda *_: False) == 0
    with listening(queue, lambda _: None) as seen:
        until(lambda: seen)

    assert [envelope.delivery_count for envelope in seen] == [1]


def test_a_queue_that_is_not_there_is_named(emulator: Emulator) -> None:
    with pytest.raises(Permanent, match="The queue nowhere does not exist"):
        queue_of(emulator, "nowhere").send(b"x", "id")


def test_a_message_that_is_too_large_is_refused_with_a_remedy(emulator: Emulator) -> None:
    queue = queue_of(emulator, "listen")
    with pytest.raises(Permanent, match=r"too large for the queue listen .*`runs_from`"):
        queue.publish(b"x" * 300_000, "large", {})
    queue.close()


def test_a_wrong_key_is_refused_without_showing_it(emulator: Emulator) -> None:
    wrong = emulator.connection_string.replace("SharedAccessKey=", "SharedAccessKey=AAAA")
    # As `connect_with_string`, but refused once and not four times with pauses.
    connect = partial(ServiceBusClient.from_connection_string, wrong, retry_total=0)
    queue = ServiceBusQueue(connect, "listen")

    with pytest.raises(Permanent, match="refused access") as caught:
        queue.send(b"x", "id")
    assert "AAAA" not in str(caught.value)


def test_a_broken_connection_string_is_refused_without_showing_it() -> None:
    queue = ServiceBusQueue(connect_with_string(lambda: "Endpoint=oops;AAAA"), "q")

    with pytest.raises(Permanent, match="serviceBusConnectionString") as caught:
        queue.send(b"x", "id")
    assert "AAAA" not in f"{caught.value!r}"


def test_a_connection_string_of_another_queue_is_refused_with_a_remedy(emulator: Emulator) -> None:
    connection = f"{emulator.connection_string.rstrip(';')};EntityPath=other"
    queue = ServiceBusQueue(connect_with_string(lambda: connection, "listen"), "listen")

    with pytest.raises(Permanent, match="Set serviceBusQueueName=other"):
        queue.send(b"x", "id")


def test_a_connection_string_of_this_queue_is_used(emulator: Emulator) -> None:
    connection = f"{emulator.connection_string.rstrip(';')};EntityPath=listen"
    queue = ServiceBusQueue(connect_with_string(lambda: connection, "listen"), "listen")

    queue.send(b"x", "id")
    assert queue.peek()
    queue.close()


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
