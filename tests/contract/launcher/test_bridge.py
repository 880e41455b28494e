"""HTTP in front of a model's socket, whose other side is a thread here."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mlgate.launcher.bridge import Bridge, bridge
from mlgate.scorer import frames

NAMED = {"mlgate-model": "train", "mlgate-model-number": "0"}
REPLY = {"status": 200, "content_type": "application/json", "headers": NAMED}


class Model:
    """Answers what it is asked once it may; `seen` are the frames that it got."""

    def __init__(self, path: Path) -> None:
        self.seen: list[Any] = []
        self.may = threading.Semaphore(0)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        while frame := frames.read(connection):
            self.seen.append(frame)
            self.may.acquire()
            connection.sendall(frames.packed(REPLY, b'{"predictions": [1]}'))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path / "s")


@pytest.fixture
def made(model: Model, tmp_path: Path) -> Iterator[Bridge]:
    with bridge(tmp_path / "s", {"a": 1}) as made:
        yield made


def test_one_request_that_waits_behind_others_is_no_hang(model: Model, made: Bridge) -> None:
    callers = [
        threading.Thread(target=requests.post, args=(f"{made.url}/predict",), kwargs={"json": 1})
        for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    _until(lambda: len(model.seen) == 3)
    time.sleep(0.3)
    assert made.waiting_seconds() >= 0.3
    model.may.release()
    _until(lambda: made.answers == 1)
    assert made.waiting_seconds() < 0.3
    model.may.release(2)
    for caller in callers:
        caller.join(10)
    assert (made.answers, made.waiting_seconds()) == (3, 0.0)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/ping", 200, None),
        ("GET", "/ping?x=1", 200, None),
        ("GET", "/live", 200, None),
        ("GET", "/health", 200, None),
        ("GET", "/model", 200, None),
        ("HEAD", "/ping", 200, None),
        ("GET", "/predict", 405, "POST"),
        ("PUT", "/predict", 405, "POST"),
        ("POST", "/ping", 405, "GET, HEAD"),
        ("DELETE", "/nowhere", 404, None),
        ("GET", "/nowhere", 404, None),
    ],
)
def test_what_is_not_asked_of_the_model_is_answered_in_json(
    made: Bridge, model: Model, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = requests.request(method, made.url + path, timeout=10)

    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.headers["content-type"] == "application/json"
    assert (method == "HEAD") == (answer.content == b"")
    assert method == "HEAD" or ("error_code" in answer.json()) == (status != 200)
    assert model.seen == []


def test_an_answer_names_the_model_as_a_servers_does(made: Bridge, model: Model) -> None:
    model.may.release()
    answer = requests.post(f"{made.url}/predict", json=1, timeout=10)

    assert {name: answer.headers[name] for name in NAMED} == NAMED


def test_a_body_that_is_cut_is_not_asked_of_the_model(made: Bridge, model: Model) -> None:
    with socket.create_connection(("127.0.0.1", made.server_address[1])) as caller:
        caller.sendall(b"POST /predict HTTP/1.1\r\ncontent-length: 100\r\n\r\n[1,2]")
        caller.shutdown(socket.SHUT_WR)
        caller.settimeout(10)
        assert caller.recv(1) == b""
    assert (model.seen, made.answers, made.began) == ([], 0, None)


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
