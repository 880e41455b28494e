"""Sending and receiving with the real SDK."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import MessageSizeExceededError

from tests.contract.emulators.service_bus.conftest import Clock, send, texts

WAIT = 5.0  # seconds for a message that is there
NONE = 0.5  # seconds for one that is not


def test_a_message_arrives_as_it_was_sent(client: ServiceBusClient) -> None:
    sent = ServiceBusMessage(
        json.dumps({"build_id": "17"}),
        message_id="m1",
        content_type="application/json",
        subject="start",
        correlation_id="c1",
        application_properties={"PlanId": "p", "Attempt": 2, "Flag": True},
    )
    before = datetime.now(UTC) - timedelta(seconds=1)
    send(client, sent)
    with client.get_queue_receiver("jobs") as receiver:
        (message,) = receiver.receive_messages(max_wait_time=WAIT)
        assert json.loads(str(message)) == {"build_id": "17"}
        assert message.message_id == "m1"
        assert message.content_type == "application/json"
        assert message.subject == "start"
        assert message.correlation_id == "c1"
        assert message.application_properties == {b"PlanId": b"p", b"Attempt": 2, b"Flag": True}
        assert message.delivery_count == 0
        assert message.sequence_number == 1
        assert message.enqueued_time_utc is not None
        assert before <= message.enqueued_time_utc <= datetime.now(UTC)
        assert message.state is ServiceBusMessageState.ACTIVE
        receiver.complete_message(message)


def test_a_batch_arrives_message_by_message(client: ServiceBusClient) -> None:
    with client.get_queue_sender("jobs") as sender:
        batch = sender.create_message_batch()
        for number in range(20):
            batch.add_message(ServiceBusMessage(str(number), message_id=f"m{number}"))
        sender.send_messages(batch)
    with client.get_queue_receiver("jobs") as receiver:
        received: list[ServiceBusReceivedMessage] = []
        while len(received) < 20:
            messages = receiver.receive_messages(20, max_wait_time=WAIT)
            assert messages
            for message in messages:
                receiver.complete_message(message)
            received += messages
    assert texts(received) == [str(number) for number in range(20)]
    assert received[7].message_id == "m7"


def test_a_message_of_many_frames_arrives_whole(client: ServiceBusClient) -> None:
    body = "0123456789abcdef" * (200 * 64)  # 200 KiB, frames are 64 KiB
    send(client, body)
    with client.get_queue_receiver("jobs") as receiver:
        (message,) = receiver.receive_messages(max_wait_time=WAIT)
        assert str(message) == body
        receiver.complete_message(message)


def test_a_message_over_the_limit_is_refused_and_the_sender_goes_on(
    client: ServiceBusClient,
) -> None:
    with client.get_queue_sender("jobs") as sender:
        with pytest.raises(MessageSizeExceededError):
            sender.send_messages(ServiceBusMessage("x" * 300_000))
        sender.send_messages(ServiceBusMessage("small"))
    with client.get_queue_receiver("jobs") as receiver:
        assert texts(receiver.peek_messages(10)) == ["small"]


def test_receive_and_delete_leaves_nothing(client: ServiceBusClient) -> None:
    send(client, "a", "b")
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver("jobs", receive_mode=mode) as receiver:
        received = texts(receiver.receive_messages(1, max_wait_time=WAIT))
        received += texts(receiver.receive_messages(1, max_wait_time=WAIT))
        assert received == ["a", "b"]
        assert receiver.peek_messages(10) == []


def test_more_arrives_than_one_turn_of_the_broker_may_send(client: ServiceBusClient) -> None:
    send(client, *["x" * 200_000] * 20)
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    received = 0
    with client.get_queue_receiver("jobs", receive_mode=mode, prefetch_count=20) as receiver:
        while received < 20:
            messages = receiver.receive_messages(20, max_wait_time=WAIT)
            assert messages
            received += len(messages)


def test_the_same_message_id_is_taken_once(client: ServiceBusClient) -> None:
    send(client, *[ServiceBusMessage(text, message_id="same") for text in ("first", "second")])
    with client.get_queue_receiver("jobs") as receiver:
        assert texts(receiver.peek_messages(10)) == ["first"]


def test_a_closed_receiver_gives_back_what_it_had_fetched(client: ServiceBusClient) -> None:
    send(client, "a", "b", "c")
    with client.get_queue_receiver("jobs", prefetch_count=10) as receiver:
        (message,) = receiver.receive_messages(1, max_wait_time=WAIT)
        receiver.complete_message(message)
    with client.get_queue_receiver("jobs") as receiver:
        (message,) = receiver.receive_messages(1, max_wait_time=WAIT)
        assert (str(message), message.delivery_count) == ("b", 0)


def test_two_receivers_share_a_queue(client: ServiceBusClient) -> None:
    with client.get_queue_receiver("jobs") as one, client.get_queue_receiver("jobs") as other:
        send(client, "a", "b")
        received = [
            str(receiver.receive_messages(1, max_wait_time=WAIT)[0]) for receiver in (one, other)
        ]
    assert sorted(received) == ["a", "b"]


def test_peeking_takes_nothing_and_goes_on_from_where_it_was(client: ServiceBusClient) -> None:
    send(client, "a", "b", "c")
    with client.get_queue_receiver("jobs") as receiver:
        assert texts(receiver.peek_messages(2)) == ["a", "b"]
        assert texts(receiver.peek_messages(2)) == ["c"]
        assert receiver.peek_messages(2) == []
        assert texts(receiver.receive_messages(1, max_wait_time=WAIT)) == ["a"]
        (peeked,) = receiver.peek_messages(1, sequence_number=1)
        assert peeked.lock_token is None


def test_a_scheduled_message_waits_for_its_time(client: ServiceBusClient, clock: Clock) -> None:
    due = datetime.now(UTC) + timedelta(minutes=5)
    with client.get_queue_sender("jobs") as sender:
        sender.schedule_messages(ServiceBusMessage("later"), due)
    with client.get_queue_receiver("jobs") as receiver:
        (peeked,) = receiver.peek_messages(1)
        assert peeked.state is ServiceBusMessageState.SCHEDULED
        assert receiver.receive_messages(max_wait_time=NONE) == []
        clock.ahead = 301.0
        (message,) = receiver.receive_messages(max_wait_time=WAIT)
        assert str(message) == "later"
        assert message.state is ServiceBusMessageState.ACTIVE
        assert message.scheduled_enqueue_time_utc is not None
        assert abs(message.scheduled_enqueue_time_utc - due) < timedelta(seconds=1)


def test_a_waiting_receiver_is_woken_by_a_scheduled_message(client: ServiceBusClient) -> None:
    """On the real clock: nothing but the broker's own alarm can bring the message."""
    with client.get_queue_receiver("jobs") as receiver:
        with client.get_queue_sender("jobs") as sender:
            soon = datetime.now(UTC) + timedelta(seconds=0.5)
            sender.send_messages(ServiceBusMessage("soon", scheduled_enqueue_time_utc=soon))
        assert texts(receiver.receive_messages(max_wait_time=10 * WAIT)) == ["soon"]


def test_a_canceled_message_never_comes(client: ServiceBusClient, clock: Clock) -> None:
    due = datetime.now(UTC) + timedelta(minutes=10)
    with client.get_queue_sender("jobs") as sender:
        messages = [ServiceBusMessage("a"), ServiceBusMessage("b"), ServiceBusMessage("c")]
        numbers = sender.schedule_messages(messages, due)
        sender.cancel_scheduled_messages(numbers[:2])
    clock.ahead = 601.0
    with client.get_queue_receiver("jobs") as receiver:
        assert texts(receiver.receive_messages(3, max_wait_time=WAIT)) == ["c"]


def test_expired_messages_are_dead_lettered_where_the_queue_says_so(
    client: ServiceBusClient, clock: Clock
) -> None:
    send(client, "by the queue's limit", queue="mortal")
    short = ServiceBusMessage("by its own", time_to_live=timedelta(seconds=5))
    send(client, short, queue="mortal")
    dead = ServiceBusSubQueue.DEAD_LETTER
    with client.get_queue_receiver("mortal", sub_queue=dead) as receiver:
        clock.ahead = 6.0
        (first,) = receiver.receive_messages(1, max_wait_time=WAIT)
        clock.ahead = 61.0
        (second,) = receiver.receive_messages(1, max_wait_time=WAIT)
    assert texts([first, second]) == ["by its own", "by the queue's limit"]
    assert first.dead_letter_reason == "TTLExpiredException"


def test_messages_of_every_kind_of_body_arrive(client: ServiceBusClient) -> None:
    with client.get_queue_sender("jobs") as sender:
        sender.send_messages(AmqpAnnotatedMessage(value_body={"a": [1, None, "x"]}))
        sender.send_messages(AmqpAnnotatedMessage(sequence_body=[[1, 2], [3]]))
        sender.send_messages(AmqpAnnotatedMessage(data_body=[b"one", b"two"]))
    with client.get_queue_receiver("jobs") as receiver:
        value, sequence, data = receiver.peek_messages(3)
        assert value.body_type is AmqpMessageBodyType.VALUE
        assert value.body == {b"a": [1, None, b"x"]}
        assert list(sequence.body) == [[1, 2], [3]]
        assert list(data.body) == [b"one", b"two"]
