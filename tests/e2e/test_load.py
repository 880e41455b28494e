"""`mlgate load` on a server that behaves in one way or another: locust is the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.commands import MLGATE, Done, environment, mlgate

EXAMPLE = {"instances": [[1, 2]]}


class Server(ThreadingHTTPServer):
    """Serves a model as it is told to; `bodies` are what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model: Any = {"example": EXAMPLE}
        self.status = 200
        self.answer: Any = {"predictions": [3.0]}
        self.key: str | None = None  # that callers have to send
        self.seconds = 0.0
        self.bodies: list[tuple[str, bytes]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers leave as they like."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        found = None if urlsplit(self.path).path != "/model" else self.server.model
        self._answer(404 if found is None else 200, found)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append((self.path, body))  # with the host where this is a proxy
        time.sleep(self.server.seconds)
        self._answer(self.server.status, self.server.answer)

    def _answer(self, status: int, content: Any) -> None:
        if self.server.key not in (None, self.headers["x-functions-key"]):
            status, content = 401, None
        body = json.dumps(content).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/model")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- its name
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


Load = Callable[..., Done]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """The command, in a place where locust's environment is made once."""
    folder = tmp_path_factory.mktemp("load")

    def load(url: str, *arguments: str, **more: str) -> Done:
        callers = ["--users", "2", "--seconds", "1"]
        done = mlgate(folder, "load", url, *callers, *arguments, MLGATE_PARALLEL="1", **more)
        if (
            done.code == 3
            and "environment could not be made" in done.err
            and "CI" not in os.environ
        ):
            pytest.skip(f"locust cannot be installed: {done.err}")
        return done

    return load


def test_callers_send_the_example_and_what_came_of_it_is_shown(load: Load, server: Server) -> None:
    server.seconds = 0.05
    server.key = "radioactive=="
    done = load(server.url + "/", "--p95-ms", "5000", "--key", "APP_KEY", APP_KEY=server.key)

    assert done.code == 0, done.err
    assert "radioactive" not in done.out + done.err
    assert {(path, json.loads(body)["instances"][0][1]) for path, body in server.bodies} == {
        ("/invocations", 2)
    }
    shown = dict(line.rsplit("  ", 1) for line in done.out.splitlines())
    shown = {name.strip(): value.strip() for name, value in shown.items()}
    assert int(shown["requests"]) == len(server.bodies) > 5
    assert shown["failures"] == "0 (0.00%)"
    assert 5 < float(shown["requests per second"]) < 50
    assert 45 < float(shown["p50 ms"]) <= float(shown["p95 ms"]) <= float(shown["p99 ms"])


@pytest.mark.slow
def test_a_limit_that_is_broken_fails(load: Load, server: Server) -> None:
    server.seconds = 0.05
    done = load(server.url, "--p95-ms", "10")

    assert done.code == 1
    assert "; the limit is 10 ms." in done.err


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 302, 204])
def test_requests_that_fail_break_the_limit_unless_they_may(
    load: Load, server: Server, status: int
) -> None:
    server.status = status
    done = load(server.url)

    assert done.code == 1
    assert "(100.00%); the limit is 0." in done.err
    assert f"times POST /invocations: HTTP {status}" in done.err
    assert load(server.url, "--failures", "1").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [{"error_code": "BAD_REQUEST", "message": "x"}, {"error": "x"}, [3.0], "x", None],
)
def test_an_answer_that_says_error_is_one_whatever_its_status(
    load: Load, server: Server, answer: Any
) -> None:
    server.answer = answer
    done = load(server.url)

    assert done.code == 1
    assert "times POST /invocations: HTTP 200 without predictions: " in done.err


@pytest.mark.slow
def test_a_request_that_is_never_answered_is_a_failure(load: Load, server: Server) -> None:
    server.seconds = 600
    done = load(server.url)

    assert done.code == 1
    assert "2 of 2 requests failed" in done.err
    assert "times POST /invocations: no answer within" in done.err


@pytest.mark.slow
def test_a_key_that_a_server_repeats_is_not_shown(load: Load, server: Server) -> None:
    server.status, server.answer = 403, "no such key: radioactive"
    done = load(server.url, "--key", "APP_KEY", APP_KEY="radioactive")

    assert done.code == 1
    assert "HTTP 403" in done.err
    assert "no such key: ***" in done.err
    assert "radioactive" not in done.out + done.err


@pytest.mark.slow
def test_callers_use_the_proxy_of_the_environment(load: Load, server: Server) -> None:
    assert load(server.url).code == 0  # locust's environment is made without that proxy
    server.bodies.clear()
    done = load("http://model.invalid", http_proxy=server.url, no_proxy="", NO_PROXY="")

    assert done.code == 0, done.err
    assert {path for path, _ in server.bodies} == {"http://model.invalid/invocations"}


def test_a_model_without_an_example_gets_no_request(load: Load, server: Server) -> None:
    server.model = {"example": None}
    done = load(server.url)

    assert (done.code, server.bodies) == (1, [])
    assert "No request was made" in done.err


LOCUSTFILE = """
import os
from locust import HttpUser, task

class Caller(HttpUser):
    @task
    def ask(self):
        assert "MLGATE_PARALLEL" not in os.environ
        {act}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "code", "said"),
    [
        ("self.client.post('/predict', json=[[1]])", 0, ""),
        ("import time; time.sleep(0.1)", 1, "No request was made."),
        ("raise ValueError('mine')", 1, "The locustfile raised: "),
        (
            "self.client.get('/model'); self.environment.process_exit_code = 7",
            1,
            "locust ended with code 7",
        ),
        ("import", 2, "SyntaxError"),
    ],
    ids=["fine", "no request", "raises", "judges", "no Python"],
)
def test_a_locustfile_says_what_callers_do(
    load: Load, server: Server, tmp_path: Path, act: str, code: int, said: str
) -> None:
    server.model = None  # nobody asks for an example
    (tmp_path / "mine.py").write_text(LOCUSTFILE.format(act=act))
    done = load(server.url, "--locustfile", str(tmp_path / "mine.py"))

    assert done.code == code, done.err
    assert said in done.err


@pytest.mark.parametrize(
    ("model", "said"), [(None, "/model answered 404"), ([1], "so it is not `mlgate serve`")]
)
def test_what_serves_no_model_could_not_be_tried(
    load: Load, server: Server, model: Any, said: str
) -> None:
    server.model = model
    done = load(server.url)

    assert (done.code, done.out) == (3, "")
    assert said in done.err


def test_nobody_there_could_not_be_tried(load: Load, server: Server) -> None:
    server.server_close()
    assert load(server.url).code == 3


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("file:///etc/passwd", []),
        ("127.0.0.1:5000", []),
        ("http://", []),
        ("http://me:secret@127.0.0.1", []),
        ("http://127.0.0.1/?code=1", []),
        ("http://127.0.0.1", ["--users", "0"]),
        ("http://127.0.0.1", ["--seconds", "1.5"]),
        ("http://127.0.0.1", ["--p95-ms", "nan"]),
        ("http://127.0.0.1", ["--failures", "2"]),
        ("http://127.0.0.1", ["--locustfile", "missing.py"]),
        ("http://127.0.0.1", ["--key", "NOT_SET"]),
        ("http://127.0.0.1", ["--key", "WRONG"]),
        ("http://example.org", ["--key", "KEY"]),
        ("http://127.0.0.1", ["--key", "KEY", "--locustfile", __file__]),
    ],
)
def test_what_cannot_be_asked_for_is_usage(tmp_path: Path, url: str, arguments: list[str]) -> None:
    keys = {"KEY": "secret", "WRONG": "secret\nsecret"}
    done = mlgate(tmp_path, "load", url, *arguments, **keys)

    assert done.code == 2
    assert "secret" not in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_the_callers(server: Server, tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "tmp").mkdir()
    command = [str(MLGATE), "load", server.url, "--users", "1", "--seconds", "600"]
    own = environment(tmp_path, TMPDIR=str(tmp_path / "tmp"))
    process = subprocess.Popen(command, env=own, cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not server.bodies and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)

    assert process.wait(60) == code
    deadline = time.monotonic() + 10
    while (left := [*(tmp_path / "tmp").iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    before = len(server.bodies)
    time.sleep(0.5)
    assert len(server.bodies) == before > 0
