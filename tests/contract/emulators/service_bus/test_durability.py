"""What an acknowledgement is worth: restarts and `kill -9`."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)

from mlgate.emulators.service_bus import Emulator, EmulatorError, QueueConfig
from tests.contract.emulators.service_bus.conftest import Clock, send, texts

WAIT = 5.0
SERVE = (
    "import sys; from pathlib import Path; from mlgate.emulators.service_bus import *;"
    "sys.exit(serve([parse_queue('jobs,max-delivery=2')],"
    " Path(sys.argv[1]) if sys.argv[1] else None, int(sys.argv[2])))"
)


@contextmanager
def foreground(
    file: Path | None = None, port: int = 0
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The emulator as a process of its own, and what it says first."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(file or ""), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate(timeout=60)


def connect(connection_string: str) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(connection_string, retry_total=0)


def peek(connection_string: str) -> list[str]:
    with connect(connection_string) as client, client.get_queue_receiver("jobs") as receiver:
        return texts(receiver.peek_messages(10))


def port_of(connection_string: str) -> int:
    match = re.search(r":(\d+);", connection_string)
    assert match is not None
    return int(match.group(1))


def test_a_restart_keeps_messages_key_and_what_was_scheduled(tmp_path: Path, clock: Clock) -> None:
    queues, file = [QueueConfig("jobs")], tmp_path / "queues.db"
    with Emulator(queues, file=file, clock=clock) as emulator:
        before = emulator.connection_string
        with connect(before) as client:
            send(client, ServiceBusMessage("a", message_id="1"))
            with client.get_queue_sender("jobs") as sender:
                due = datetime.now(UTC) + timedelta(minutes=10)
                sender.schedule_messages(ServiceBusMessage("later"), due)
    with Emulator(queues, file=file, clock=clock, port=port_of(before)) as emulator:
        assert emulator.connection_string == before
        clock.ahead = 601.0
        with connect(before) as client:
            send(client, ServiceBusMessage("b", message_id="2"))
        assert peek(before) == ["a", "later", "b"]


def test_a_message_id_is_remembered_over_a_restart(tmp_path: Path) -> None:
    queues, file = [QueueConfig("jobs")], tmp_path / "queues.db"
    for text in ("first", "second"):
        with Emulator(queues, file=file) as emulator:
            with connect(emulator.connection_string) as client:
                send(client, ServiceBusMessage(text, message_id="same"))
            assert peek(emulator.connection_string) == ["first"]


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "queues.db"
    with foreground(file) as (process, connection_string), connect(connection_string) as client:
        send(client, "settled", "kept")
        with client.get_queue_receiver("jobs") as receiver:
            (message,) = receiver.receive_messages(1, max_wait_time=WAIT)
            receiver.complete_message(message)
            process.send_signal(signal.SIGKILL)
            process.wait(60)
    with foreground(file) as (_, connection_string):
        assert peek(connection_string) == ["kept"]


def test_a_consumer_that_takes_the_broker_down_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "queues.db"
    for attempt in range(2):
        with foreground(file) as (process, connection_string), connect(connection_string) as client:
            if attempt == 0:
                send(client, "poison")
            with client.get_queue_receiver("jobs") as receiver:
                (message,) = receiver.receive_messages(1, max_wait_time=WAIT)
                assert message.delivery_count == attempt
                process.send_signal(signal.SIGKILL)
                process.wait(60)
    with foreground(file) as (_, connection_string), connect(connection_string) as client:
        dead = ServiceBusSubQueue.DEAD_LETTER
        with client.get_queue_receiver("jobs", sub_queue=dead) as receiver:
            (message,) = receiver.peek_messages(1)
            assert message.dead_letter_reason == "MaxDeliveryCountExceeded"


def test_a_receiver_that_is_open_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "queues.db"
    emulator = Emulator([QueueConfig("jobs")], file=file)
    emulator.start()
    client = ServiceBusClient.from_connection_string(emulator.connection_string)
    with client, client.get_queue_receiver("jobs") as receiver:
        assert receiver.peek_messages(1) == []
        emulator.stop()
        emulator.start()
        send(client, "a")
        assert texts(receiver.receive_messages(max_wait_time=6 * WAIT)) == ["a"]
        receiver.close()
        emulator.stop()


def test_a_token_in_a_settled_message_is_gone_from_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "state" / "queues.db"
    secret = "eyJ0b2tlbiI6ICJzZWNyZXQifQ"
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with Emulator([QueueConfig("jobs")], file=file) as emulator:
        client = connect(emulator.connection_string)
        send(client, ServiceBusMessage("a", application_properties={"AuthToken": secret}))
        assert secret.encode() in on_disk(file)
        with client, client.get_queue_receiver("jobs", receive_mode=mode) as receiver:
            assert len(receiver.receive_messages(max_wait_time=WAIT)) == 1
    assert secret.encode() not in on_disk(file)


def on_disk(file: Path) -> bytes:
    for path in file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return b"".join(path.read_bytes() for path in file.parent.iterdir())


def test_a_busy_port_is_told(tmp_path: Path) -> None:
    with Emulator([QueueConfig("jobs")]) as emulator:
        port = port_of(emulator.connection_string)
        with pytest.raises(EmulatorError, match=f"Port {port} .* is in use"):
            Emulator([QueueConfig("jobs")], port=port).start()


def test_a_file_in_use_is_told(tmp_path: Path) -> None:
    file = tmp_path / "queues.db"
    second = Emulator([QueueConfig("jobs")], file=file)
    with (
        Emulator([QueueConfig("jobs")], file=file),
        pytest.raises(EmulatorError, match="in use by another emulator"),
    ):
        second.start()
    with second:  # the first one has given it back
        assert second.connection_string


def test_a_second_emulator_that_is_refused_does_not_break_the_firsts_lock(tmp_path: Path) -> None:
    """POSIX locks end when their process closes the file, by whatever descriptor."""
    file = tmp_path / "queues.db"
    with Emulator([QueueConfig("jobs")], file=file):
        with pytest.raises(EmulatorError):
            Emulator([QueueConfig("jobs")], file=file).start()
        with foreground(file) as (_, line):
            assert line == ""


def test_stopping_twice_is_stopping_once() -> None:
    emulator = Emulator([QueueConfig("jobs")])
    emulator.stop()
    emulator.start()
    emulator.stop()
    emulator.stop()
    with pytest.raises(EmulatorError, match="not running"):
        _ = emulator.connection_string


def test_two_queues_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Emulator([QueueConfig("jobs"), QueueConfig("Jobs")])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_ends_with_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    with foreground(tmp_path / "queues.db") as (process, connection_string):
        assert connection_string.startswith("Endpoint=sb://127.0.0.1:")
        process.send_signal(number)
        assert process.wait(60) == 0
        _, errors = process.communicate()
        assert errors == ""
    assert [path.name for path in tmp_path.iterdir()] == ["queues.db"]


def test_the_foreground_says_in_one_line_why_it_cannot_start(tmp_path: Path) -> None:
    file = tmp_path / "queues.db"
    with foreground(file) as (_, connection_string):
        for taken in ((None, port_of(connection_string)), (file, 0)):
            with foreground(*taken) as (process, line):
                assert line == ""
                assert process.wait(60) != 0
                _, errors = process.communicate()
                assert "in use" in errors
                assert errors.count("\n") == 1


def test_the_package_is_light() -> None:
    """No third party, nothing else of the project."""
    code = (
        "import sys, mlgate.emulators.service_bus as s;"
        "print([m for m in sys.modules if m.split('.')[0] in {'azure', 'pydantic', 'handlers'}"
        " or m.startswith(('mlgate.orchestration', 'mlgate.hosts'))])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ
    )
    assert output.stdout.strip() == "[]"
