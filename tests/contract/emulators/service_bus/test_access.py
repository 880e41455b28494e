"""Who may do what: keys, entities, and what a queue does not have."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import (
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from mlgate.emulators.service_bus import Emulator, QueueConfig
from tests.contract.emulators.service_bus.conftest import Clock, send, texts


def connect(connection_string: str) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(connection_string, retry_total=0)


@pytest.mark.parametrize("part", ["SharedAccessKey=", "SharedAccessKeyName="])
def test_a_wrong_key_is_an_authentication_error(emulator: Emulator, part: str) -> None:
    wrong = re.sub(f"{part}[^;]*", f"{part}d3Jvbmc=", emulator.connection_string)
    with connect(wrong) as client, pytest.raises(ServiceBusAuthenticationError):
        client.get_queue_sender("jobs").send_messages(ServiceBusMessage("a"))


def test_a_token_that_has_expired_is_an_authentication_error(
    emulator: Emulator, clock: Clock
) -> None:
    clock.ahead = 10 * 3600
    client = connect(emulator.connection_string)
    with client, pytest.raises(ServiceBusAuthenticationError):
        client.get_queue_sender("jobs").send_messages(ServiceBusMessage("a"))


@pytest.mark.parametrize("right", ["Listen", "Send"])
def test_a_key_with_one_right_does_that_alone(right: str) -> None:
    """The links' claims of "Service Bus authentication and authorization" in azure-docs."""
    with (
        Emulator([QueueConfig("jobs")], rights=[right]) as emulator,
        connect(emulator.connection_string) as client,
    ):
        receiver, sender = client.get_queue_receiver("jobs"), client.get_queue_sender("jobs")
        if right == "Listen":
            assert receiver.receive_messages(max_wait_time=2) == []
            with pytest.raises(ServiceBusAuthorizationError, match="'Send' claim"):
                sender.send_messages(ServiceBusMessage("a"))
        else:
            sender.send_messages(ServiceBusMessage("a"))
            with pytest.raises(ServiceBusAuthorizationError, match="'Listen' claim"):
                receiver.receive_messages(max_wait_time=2)


def test_an_unknown_queue_is_not_found(client: ServiceBusClient) -> None:
    with pytest.raises(MessagingEntityNotFoundError):
        client.get_queue_sender("nowhere").send_messages(ServiceBusMessage("a"))
    with pytest.raises(MessagingEntityNotFoundError):
        client.get_queue_receiver("nowhere").receive_messages(max_wait_time=5)


def test_names_of_queues_have_no_case(client: ServiceBusClient) -> None:
    send(client, "a", queue="JOBS")
    with client.get_queue_receiver("Jobs") as receiver:
        assert texts(receiver.peek_messages(1)) == ["a"]


def test_a_session_is_refused(client: ServiceBusClient) -> None:
    with pytest.raises(ServiceBusError, match="no sessions"):
        client.get_queue_receiver("jobs", session_id="s").receive_messages(max_wait_time=5)


def test_a_link_that_was_idle_for_ten_minutes_is_detached(
    emulator: Emulator, client: ServiceBusClient, clock: Clock
) -> None:
    sender, receiver = client.get_queue_sender("jobs"), client.get_queue_receiver("jobs")
    with sender, receiver:
        sender.send_messages(ServiceBusMessage("a"))
        assert texts(receiver.receive_messages(max_wait_time=5)) == ["a"]
        clock.ahead = 601.0
        with pytest.raises(ServiceBusError):
            sender.send_messages(ServiceBusMessage("b"))
        with pytest.raises(ServiceBusError):
            receiver.receive_messages(max_wait_time=5)
        sender.send_messages(ServiceBusMessage("c"))
        assert texts(receiver.receive_messages(2, max_wait_time=5)) == ["a", "c"]


def test_an_operation_that_there_is_not_is_refused_and_the_link_goes_on(
    client: ServiceBusClient,
) -> None:
    with client.get_queue_receiver("jobs") as receiver:
        with pytest.raises(ServiceBusError, match="does not support the operation"):
            receiver._mgmt_request_response_with_retry(b"com.microsoft:no-such", {}, _raise)
        assert receiver.peek_messages(1) == []


def _raise(status_code: int, message: Any, description: bytes, amqp_transport: Any) -> None:
    amqp_transport.handle_amqp_mgmt_error(
        logging.getLogger(), "Refused.", None, description.decode(), status_code
    )
