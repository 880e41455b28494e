"""The queue port and its listening, against the emulator and against a peer that says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from azure.servicebus import ServiceBusClient
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator
from mlgate.orchestration.errors import OrchestrationError, Temporary
from mlgate.orchestration.ports import Envelope
from mlgate.orchestration.shift import Shift
from tests.contract.service_bus.conftest import send, texts

WAIT = 20.0


@pytest.fixture
def queue(emulator: Emulator) -> ServiceBusQueue:
    return ServiceBusQueue(connect_with_string(SecretStr(emulator.connection_string)), "jobs")


CALLS: dict[str, Callable[[ServiceBusQueue], object]] = {
    "send": lambda queue: queue.send(b"a", "1"),
    "check": ServiceBusQueue.check,
    "dead letters": ServiceBusQueue.dead_letters,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_broker_that_says_nothing_is_a_temporary_fault(
    call: Callable[[ServiceBusQueue], object],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = (
            f"Endpoint=sb://127.0.0.1:{silent.getsockname()[1]};SharedAccessKeyName=n;"
            "SharedAccessKey=a2V5;UseDevelopmentEmulator=true"
        )
        connect = connect_with_string(SecretStr(connection))
        queue = ServiceBusQueue(connect, "jobs", patience_seconds=0.3)
        with pytest.raises(Temporary, match="jobs does not answer"):
            call(queue)


def test_what_is_at_hand_when_the_shift_ends_is_finished(
    queue: ServiceBusQueue, client: ServiceBusClient
) -> None:
    shift, begun, go_on = Shift(), threading.Event(), threading.Event()

    def handle(_: Envelope) -> None:
        begun.set()
        assert go_on.wait(WAIT)

    send(client, "a")
    listener = threading.Thread(target=queue.listen, args=(shift, handle))
    listener.start()
    assert begun.wait(WAIT)
    shift.end()
    finished = threading.Thread(target=shift.finish)
    finished.start()
    assert finished.is_alive()
    go_on.set()
    finished.join(WAIT)

    assert not finished.is_alive()
    with client.get_queue_receiver("jobs") as receiver:
        assert receiver.peek_messages(1) == []
    listener.join(WAIT)


def test_what_arrives_after_the_shift_stays_in_the_queue(
    queue: ServiceBusQueue, client: ServiceBusClient
) -> None:
    shift, handled = Shift(), threading.Semaphore(0)

    def handle(_: Envelope) -> None:
        handled.release()

    send(client, "a")
    listener = threading.Thread(target=queue.listen, args=(shift, handle))
    listener.start()
    assert handled.acquire(timeout=WAIT)
    shift.end()
    send(client, "b")
    listener.join(WAIT)

    assert not handled.acquire(blocking=False)
    with client.get_queue_receiver("jobs") as receiver:
        assert texts(receiver.receive_messages(1, max_wait_time=WAIT)) == ["b"]


def test_what_cannot_be_handled_goes_back_at_once(
    queue: ServiceBusQueue, client: ServiceBusClient
) -> None:
    shift, counts = Shift(), []

    def handle(envelope: Envelope) -> None:
        counts.append(envelope.delivery_count)
        if len(counts) == 1:
            raise Temporary("busy")
        shift.end()

    send(client, "a")
    queue.listen(shift, handle)

    assert counts == [1, 2]


def test_a_queue_that_is_not_there_is_named(emulator: Emulator) -> None:
    connect = connect_with_string(SecretStr(emulator.connection_string))
    with pytest.raises(OrchestrationError, match="nowhere does not exist"):
        ServiceBusQueue(connect, "nowhere").check()
