"""A function app makes the same of a message as a worker, so that a build has one identity."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from handlers.servicebus_handler.messages import envelope_of
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.hosts.functions import received
from tests.contract.handlers.servicebus_handler.conftest import PATIENCE, client_of
from tests.functions.host import trigger_metadata

MESSAGES: dict[str, dict[str, Any]] = {
    "with an id": {"properties": AmqpMessageProperties(message_id="the-id")},
    "with a number as its id": {"properties": AmqpMessageProperties(message_id=str(2**40))},
    "with a GUID as its id": {"properties": AmqpMessageProperties(message_id=str(uuid.uuid4()))},
    "without an id": {},
    "with properties": {
        "application_properties": {"JobId": "x", "AuthToken": "ünïcode", "number": 7}
    },
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator([QueueConfig("q")]) as running:
        yield running


@pytest.mark.parametrize("fields", MESSAGES.values(), ids=MESSAGES)
def test_both_hosts_see_the_same_message(emulator: Emulator, fields: dict[str, Any]) -> None:
    with client_of(emulator) as client:
        with client.get_queue_sender("q") as sender:
            sender.send_messages(AmqpAnnotatedMessage(data_body=b'{"version": 1}', **fields))
        with client.get_queue_receiver("q") as receiver:
            for delivery in (1, 2):
                [message] = receiver.receive_messages(1, max_wait_time=PATIENCE)
                seen = envelope_of(message)
                assert seen == received(as_a_function_gets_it(message))
                assert seen.message_id
                assert seen.enqueued_at is not None
                assert seen.delivery_count == delivery
                if delivery == 1:
                    receiver.abandon_message(message)
                else:
                    receiver.complete_message(message)


def as_a_function_gets_it(message: ServiceBusReceivedMessage) -> Any:
    """Through Microsoft's converter, with what the extension makes of a message."""
    metadata = {
        name: Datum(content, kind)
        for name, typed in trigger_metadata(message).items()
        for kind, content in typed.items()
    }
    data = Datum(b"".join(message.body), "bytes")
    return ServiceBusMessageInConverter.decode(data, trigger_metadata=metadata)
