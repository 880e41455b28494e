"""A worker's threads: none holds up another, and what it tells of itself is so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from azure.servicebus import ServiceBusMessage

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.hosts.assembly import Application
from mlgate.hosts.hints import Hints
from mlgate.hosts.worker import Worker
from mlgate.orchestration.durable import Envelope, Rejected
from mlgate.orchestration.engine.conductor import Conductor
from mlgate.orchestration.errors import Temporary

WAIT = 60.0  # seconds; never reached on a machine that is not stuck
QUEUE = "function-queue"


@dataclass
class ConductorTwin:
    """What a worker asks of a conductor; each sweep is counted."""

    on_sweep: Callable[[], object] = lambda: None
    on_mend: Callable[[], bool] = lambda: True
    swept: list[str | None] = field(default_factory=list)
    mended: list[tuple[str, str | None]] = field(default_factory=list)
    hinted: list[str] = field(default_factory=list)
    handled: list[str] = field(default_factory=list)
    sweeps: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def handle(self, envelope: Envelope) -> Rejected | None:
        self.handled.append(envelope.message_id)
        return None

    def hint(self, key: str) -> bool:
        self.hinted.append(key)
        return True

    def sweep(self, only: str | None = None) -> list[str]:
        self.swept.append(only)
        self.sweeps.release()
        self.on_sweep()
        return []

    def mend(self, envelope: Envelope, reason: str | None) -> bool:
        self.mended.append((envelope.message_id, reason))
        return self.on_mend()

    def has_swept(self, times: int) -> None:
        for _ in range(times):
            assert self.sweeps.acquire(timeout=WAIT)


@contextmanager
def working(
    conductor: ConductorTwin,
    connection: str,
    *,
    alive: Path | None = None,
    only: str | None = None,
    patience: float = WAIT,
    refresh: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Worker, Hints]]:
    """A worker that sweeps all the time."""
    connect = connect_with_string(lambda: connection)
    queue = ServiceBusQueue(connect, QUEUE, patience_seconds=patience)
    application = Application(cast("Conductor", conductor), queue, queue.close, refresh)
    hints = Hints()
    worker = Worker(application, hints, listeners=1, only=only, alive=alive, sweep_seconds=0.01)
    worker.start()
    try:
        yield worker, hints
    finally:
        worker.stop()
        worker.join()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator([QueueConfig(QUEUE, max_delivery=3)]) as running:
        yield running


def bury(emulator: Emulator, message_id: str) -> None:
    with ExitStack() as opened:
        connect = connect_with_string(lambda: emulator.connection_string)
        client = opened.enter_context(connect())
        sender = opened.enter_context(client.get_queue_sender(QUEUE))
        sender.send_messages(ServiceBusMessage(b"x", message_id=message_id))
        receiver = opened.enter_context(client.get_queue_receiver(QUEUE))
        [message] = receiver.receive_messages(1, max_wait_time=WAIT)
        receiver.dead_letter_message(message, reason="MaxDeliveryCountExceeded")


def wait_for(condition: Callable[[], object], conductor: ConductorTwin) -> None:
    """The worker sweeps meanwhile, a hundred times a second at most."""
    for _ in range(int(WAIT * 100)):
        if condition():
            return
        conductor.has_swept(1)
    pytest.fail("it did not come")


def test_a_worker_whose_queue_and_state_answer_is_alive(emulator: Emulator, tmp_path: Path) -> None:
    alive, conductor = tmp_path / "worker.alive", ConductorTwin()
    with working(conductor, emulator.connection_string, alive=alive):
        wait_for(alive.exists, conductor)
    assert set(conductor.swept) == {None}


def test_a_worker_whose_queue_does_not_answer_is_not_alive_and_sweeps(tmp_path: Path) -> None:
    alive, conductor = tmp_path / "worker.alive", ConductorTwin()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never says a word
        key = "SharedAccessKeyName=any;SharedAccessKey=YW55;UseDevelopmentEmulator=true"
        address = f"Endpoint=sb://127.0.0.1:{silent.getsockname()[1]};{key}"
        with working(conductor, address, alive=alive, patience=0.2):
            conductor.has_swept(20)
    assert not alive.exists()


def test_a_worker_whose_state_does_not_answer_is_not_alive_and_sweeps_again(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise Temporary("the state does not answer")

    alive, conductor = tmp_path / "worker.alive", ConductorTwin(on_sweep=fail)
    with working(conductor, emulator.connection_string, alive=alive) as (worker, _):
        wait_for(lambda: worker._application.queue.answers, conductor)
        conductor.has_swept(3)
    assert not alive.exists()
    assert "the sweep failed: the state does not answer" in caplog.text


@pytest.mark.parametrize("only", [None, "a"])
def test_a_worker_for_all_builds_refreshes_their_page_and_one_for_one_build_does_not(
    emulator: Emulator, only: str | None
) -> None:
    refreshed, conductor = threading.Event(), ConductorTwin()
    with working(conductor, emulator.connection_string, only=only, refresh=refreshed.set):
        conductor.has_swept(3)
        assert refreshed.wait(WAIT if only is None else 0) == (only is None)


def test_a_page_that_takes_long_holds_up_no_sweep(emulator: Emulator) -> None:
    begun, go_on, conductor = threading.Event(), threading.Event(), ConductorTwin()

    def wait() -> None:
        begun.set()
        go_on.wait(WAIT)

    with working(conductor, emulator.connection_string, refresh=wait):
        assert begun.wait(WAIT)
        conductor.has_swept(3)
        go_on.set()


def test_a_dead_letter_that_takes_long_holds_up_no_sweep(
    emulator: Emulator, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return go_on.wait(WAIT)

    bury(emulator, "slow")
    alive, conductor = tmp_path / "worker.alive", ConductorTwin(on_mend=wait)
    with working(conductor, emulator.connection_string, alive=alive) as (worker, hints):
        assert begun.wait(WAIT)
        hints.look("a")
        worker._application.queue.send(b"x", "1")
        wait_for(alive.exists, conductor)
        alive.unlink()
        wait_for(alive.exists, conductor)
        wait_for(lambda: conductor.handled == ["1"] and conductor.hinted == ["a"], conductor)
        assert not worker.lost.is_set()
        go_on.set()
    assert conductor.mended == [("slow", "MaxDeliveryCountExceeded")]


def test_a_worker_for_one_build_says_that_its_start_is_lost(emulator: Emulator) -> None:
    def fail() -> bool:
        raise Temporary("the disk is full")

    bury(emulator, "the-start")
    conductor = ConductorTwin(on_mend=fail)
    with working(conductor, emulator.connection_string, only="abc") as (worker, _):
        assert worker.lost.wait(WAIT)
        wait_for(lambda: len(conductor.mended) > 1, conductor)
    assert set(conductor.swept) == {"abc"}
    assert set(conductor.mended) == {("the-start", "MaxDeliveryCountExceeded")}


def test_what_is_at_hand_is_finished_and_nothing_begins_any_more(emulator: Emulator) -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def wait() -> bool:
        begun.set()
        assert go_on.wait(WAIT)
        order.append("mended")
        return True

    def finish(worker: Worker) -> None:
        worker.finish()
        order.append("finished")

    bury(emulator, "a")
    bury(emulator, "b")
    conductor = ConductorTwin(on_mend=wait)
    with working(conductor, emulator.connection_string) as (worker, _):
        assert begun.wait(WAIT)
        finisher = threading.Thread(target=finish, args=(worker,))
        finisher.start()
        finisher.join(0.2)  # long enough for a finish that does not wait to show itself
        go_on.set()
        finisher.join(WAIT)
    assert order == ["mended", "finished"]
    assert [message_id for message_id, _ in conductor.mended] == ["a"]
