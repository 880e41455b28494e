"""Settling with the real SDK, on the link and through `$management`."""

from __future__ import annotations

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
)

from tests.contract.emulators.service_bus.conftest import LOCK, Clock, send, texts

WAIT = 5.0
NONE = 0.5


def receive(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    (message,) = receiver.receive_messages(1, max_wait_time=WAIT)
    return message


def test_complete_removes_for_good(client: ServiceBusClient, clock: Clock) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        message = receive(receiver)
        receiver.complete_message(message)
        with pytest.raises(MessageAlreadySettled):
            receiver.complete_message(message)
        clock.ahead = LOCK + 1
        assert receiver.receive_messages(max_wait_time=NONE) == []
        assert receiver.peek_messages(1) == []


def test_abandon_brings_it_back_counted_until_the_last_time(client: ServiceBusClient) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        for attempt in range(3):
            message = receive(receiver)
            assert message.delivery_count == attempt
            receiver.abandon_message(message)
        assert receiver.receive_messages(max_wait_time=NONE) == []
    dead = ServiceBusSubQueue.DEAD_LETTER
    with client.get_queue_receiver("jobs", sub_queue=dead) as receiver:
        message = receive(receiver)
        assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
        receiver.complete_message(message)
        assert receiver.peek_messages(1) == []


def test_a_dead_letter_tells_reason_and_description(client: ServiceBusClient) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        receiver.dead_letter_message(
            receive(receiver), reason="BadMessage", error_description="No such field."
        )
    dead = ServiceBusSubQueue.DEAD_LETTER
    with client.get_queue_receiver("jobs", sub_queue=dead) as receiver:
        message = receive(receiver)
        assert message.dead_letter_reason == "BadMessage"
        assert message.dead_letter_error_description == "No such field."


def test_a_deferred_message_is_received_by_its_number(client: ServiceBusClient) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        message = receive(receiver)
        receiver.defer_message(message)
        assert receiver.receive_messages(max_wait_time=NONE) == []
        number = message.sequence_number
        assert number is not None
        (deferred,) = receiver.receive_deferred_messages(number)
        assert str(deferred) == "a"
        receiver.complete_message(deferred)
        with pytest.raises(MessageNotFoundError):
            receiver.receive_deferred_messages(number)


@pytest.mark.parametrize("how", ["abandon", "dead_letter", "defer"])
def test_a_deferred_message_is_settled_through_management(
    client: ServiceBusClient, how: str
) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        message = receive(receiver)
        receiver.defer_message(message)
        number = message.sequence_number
        assert number is not None
        (deferred,) = receiver.receive_deferred_messages(number)
        getattr(receiver, f"{how}_message")(deferred)
        if how != "dead_letter":
            assert texts(receiver.receive_deferred_messages(number)) == ["a"]
    dead = ServiceBusSubQueue.DEAD_LETTER
    with client.get_queue_receiver("jobs", sub_queue=dead) as receiver:
        assert texts(receiver.peek_messages(1)) == (["a"] if how == "dead_letter" else [])


def test_a_lock_that_ends_brings_the_message_back(client: ServiceBusClient, clock: Clock) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        lost = receive(receiver)
        clock.ahead = LOCK + 1
        again = receive(receiver)
        assert (str(again), again.delivery_count) == ("a", 1)
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(lost)
        with pytest.raises(MessageLockLostError):
            receiver.renew_message_lock(lost)
        receiver.complete_message(again)


def test_a_waiting_receiver_is_woken_when_a_lock_ends(
    client: ServiceBusClient, clock: Clock
) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as one, client.get_queue_receiver("jobs") as other:
        receive(one)
        clock.ahead = LOCK - 0.5
        assert receive(other).delivery_count == 1


def test_a_renewed_lock_holds(client: ServiceBusClient, clock: Clock) -> None:
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        message = receive(receiver)
        first_end = message.locked_until_utc
        clock.ahead = LOCK - 5
        second_end = receiver.renew_message_lock(message)
        assert first_end is not None
        assert second_end > first_end
        clock.ahead = LOCK + 5
        assert receiver.receive_messages(max_wait_time=NONE) == []
        receiver.complete_message(message)


def test_a_message_outlives_the_receiver_that_locked_it(
    client: ServiceBusClient, clock: Clock
) -> None:
    """The lock is not the link's: it holds until its time is over."""
    send(client, "a")
    with client.get_queue_receiver("jobs") as receiver:
        receive(receiver)
    with client.get_queue_receiver("jobs") as receiver:
        assert receiver.receive_messages(max_wait_time=NONE) == []
        clock.ahead = LOCK + 1
        assert receive(receiver).delivery_count == 1
