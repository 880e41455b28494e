"""A queue that says nothing holds nobody, and whoever leaves leaves nothing half-done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.shift import Shift
from tests.contract.handlers.servicebus_handler.conftest import queue_of

WAIT = 60.0  # seconds; never reached on a machine that is not stuck

CALLS: dict[str, Callable[[ServiceBusQueue], object]] = {
    "send": lambda queue: queue.send(b"a", "1"),
    "check": ServiceBusQueue.check,
    "dead letters": lambda queue: queue.mend_dead_letters(lambda *_: False),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_broker_that_says_nothing_is_a_temporary_fault(
    call: Callable[[ServiceBusQueue], object],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue = silent_queue(silent, patience_seconds=0.3)
        with pytest.raises(Temporary, match="jobs does not answer"):
            call(queue)


def test_a_silent_broker_does_not_make_each_caller_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue = silent_queue(silent, patience_seconds=2.0)
        with pytest.raises(Temporary, match="nothing came within 2 s"):
            queue.send(b"a", "1")
        with pytest.raises(Temporary, match="a moment ago"):
            queue.send(b"a", "1")


def test_a_listener_gives_a_silent_broker_up(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue, shift = silent_queue(silent, patience_seconds=0.3), Shift()
        listener = threading.Thread(target=queue.listen, args=(shift, lambda _: None))
        listener.start()
        silent.settimeout(WAIT)
        connections = [silent.accept()[0] for _ in range(2)]  # the second after `_RECONNECT`
        shift.end()
        listener.join(WAIT)
        for connection in connections:
            connection.close()

    assert not listener.is_alive()
    assert "the queue jobs does not answer: nothing came" in caplog.text


def test_what_is_at_hand_when_the_shift_ends_is_finished(emulator: Emulator) -> None:
    queue = queue_of(emulator, "at-hand")
    shift, begun, go_on = Shift(), threading.Event(), threading.Event()
    order: list[str] = []

    def handle(_: Envelope) -> None:
        begun.set()
        assert go_on.wait(WAIT)
        order.append("handled")

    def finish() -> None:
        shift.finish()
        order.append("finished")

    queue.send(b"a", "1")
    threads = [
        threading.Thread(target=queue.listen, args=(shift, handle)),
        threading.Thread(target=finish),
    ]
    threads[0].start()
    assert begun.wait(WAIT)
    threads[1].start()
    threads[1].join(0.2)  # long enough for a finish that does not wait to show itself
    go_on.set()
    for thread in threads:
        thread.join(WAIT)

    assert order == ["handled", "finished"]
    assert waiting(emulator, "at-hand") == []
    queue.close()


def test_what_arrives_after_the_shift_stays_in_the_queue(emulator: Emulator) -> None:
    queue = queue_of(emulator, "afterwards")
    shift, handled = Shift(), threading.Semaphore(0)

    def handle(_: Envelope) -> None:
        handled.release()

    queue.send(b"a", "1")
    listener = threading.Thread(target=queue.listen, args=(shift, handle))
    listener.start()
    assert handled.acquire(timeout=WAIT)
    shift.end()
    queue.send(b"b", "2")
    listener.join(WAIT)

    assert not handled.acquire(blocking=False)
    assert waiting(emulator, "afterwards") == ["b"]
    queue.close()


def silent_queue(silent: socket.socket, patience_seconds: float) -> ServiceBusQueue:
    """A queue of a broker that accepts connections and says nothing."""
    connection = (
        f"Endpoint=sb://127.0.0.1:{silent.getsockname()[1]};SharedAccessKeyName=n;"
        "SharedAccessKey=a2V5;UseDevelopmentEmulator=true"
    )
    connect = connect_with_string(lambda: connection)
    return ServiceBusQueue(connect, "jobs", patience_seconds=patience_seconds)


def waiting(emulator: Emulator, name: str) -> list[str]:
    """The messages in the queue."""
    connect = connect_with_string(lambda: emulator.connection_string)
    with connect() as client, client.get_queue_receiver(name) as receiver:
        return [str(message) for message in receiver.peek_messages(10)]
