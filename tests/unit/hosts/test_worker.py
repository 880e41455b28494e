"""What a worker tells of itself."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.hosts.assembly import Application
from mlgate.hosts.worker import Hints, Worker
from tests.unit.orchestration.twins import World


def test_a_worker_whose_queue_does_not_answer_is_not_alive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never says a word
        key = "SharedAccessKeyName=any;SharedAccessKey=YW55;UseDevelopmentEmulator=true"
        address = f"Endpoint=sb://127.0.0.1:{silent.getsockname()[1]};{key}"
        queue = ServiceBusQueue(
            connect_with_string(SecretStr(address)), "function-queue", patience_seconds=0.2
        )
        alive = tmp_path / "worker.alive"
        conductor = World(tmp_path).conductor
        worker = Worker(
            Application(conductor, queue, queue.close), Hints(), listeners=0, alive=alive
        )
        worker.start()
        deadline = time.monotonic() + 60
        while "the dead letters could not be read" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker.stop()
        worker.join()

    assert not alive.exists()
