"""`ServicePort` against servers over real HTTP, of which few are servers of models."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from handlers.service_handler import MOST_BYTES, ServiceHandler
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Manifest, ModelFile
from mlgate.orchestration.ports import Answered, Health

VERSION = Manifest(
    "pickle",
    "model.pkl",
    "3.11.7",
    "linux",
    {},
    (ModelFile("model.pkl", 1, "0" * 64),),
    example={"instances": [[1, 2]]},
    answer={"predictions": [3.0]},
)
OK = {"status": "ok", "model": "churn", "id": "3f9a1c0b7d52", "number": 42, "held_back": None}
NAME = "churn@3f9a1c0b7d52"
BY_42 = {"mlgate-model-number": "42", "mlgate-model": NAME}


@dataclass
class Server:
    """Answers everything with the same, and remembers what it was asked."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def says(self, status: int, said: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        self.body = said if isinstance(said, bytes) else json.dumps(said).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["content-length"])))

        def _answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.asked.append((self.command, self.path, headers, body))
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        found.url = f"http://127.0.0.1:{listening.server_port}"
        yield found
        listening.shutdown()
        thread.join()


@pytest.fixture
def handler(server: Server) -> ServiceHandler:
    return ServiceHandler([server.url])


@pytest.mark.parametrize(
    ("status", "said", "found"),
    [
        (200, OK, Health("ok", "churn", "3f9a1c0b7d52", 42)),
        (
            503,
            {"status": "held_back", "id": None, "number": None,
             "held_back": {"id": "9b2e4f7a1c3d", "number": 43, "reason": "No\nscikit-learn."}},
            Health("held_back", held_back=(43, "No scikit-learn.")),
        ),
        (503, {**OK, "status": "loading", "id": None, "number": None}, Health("loading", "churn")),
        (200, {**OK, "model": 1, "number": True, "id": 7, "held_back": []}, Health("ok")),
    ],
)  # fmt: skip
def test_what_it_says_of_itself_is_read(
    server: Server, handler: ServiceHandler, status: int, said: Any, found: Health
) -> None:
    server.says(status, said)
    assert handler.health(server.url) == found
    assert server.asked[0][:2] == ("GET", "/health")


def test_the_example_is_sent_and_an_answer_as_recorded_is_right(
    server: Server, handler: ServiceHandler
) -> None:
    server.says(200, {"predictions": [3.0000000001]}, BY_42)
    assert handler.answer(server.url, VERSION) == Answered(42, NAME)
    method, path, headers, body = server.asked[0]
    assert (method, path, json.loads(body)) == ("POST", "/predict", VERSION.example)
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "said", "headers", "number", "wrong"),
    [
        (200, {"predictions": [4.0]}, BY_42, 42, 'recorded answer is {"predictions": [3.'),
        (200, b"<html>", BY_42, 42, "null, but"),
        (200, b'{"predictions": [1%s]}' % (b"0" * 400), BY_42, 42, "the recorded answer is"),
        (200, b"[" * 900 + b"]" * 900, BY_42, 42, "the recorded answer is"),
        (500, {"error_code": "X", "message": "error 1a: see\nthe log"}, BY_42, 42, "500: error 1a"),
        (400, b"what?", BY_42, 42, "with 400: what?"),
        (404, b"", {}, None, "with 404: no message"),
        (200, {"predictions": [3.0]}, {"mlgate-model-number": "-1"}, None, None),
        (200, {"predictions": [3.0]}, {"mlgate-model-number": "9" * 50}, None, None),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(
    server: Server,
    handler: ServiceHandler,
    status: int,
    said: Any,
    headers: dict[str, str],
    number: int | None,
    wrong: str | None,
) -> None:
    server.says(status, said, headers)
    found = handler.answer(server.url, VERSION)
    assert found.number == number
    assert (wrong is None) is (found.wrong is None)
    assert (wrong or "") in (found.wrong or "")


@pytest.mark.parametrize(
    ("status", "said", "headers", "error", "says"),
    [
        (302, b"", {"location": "http://127.0.0.1:1/"}, Permanent, "redirects"),
        (401, b"", {}, Permanent, "needs a key"),
        (403, b"", {}, Permanent, "MLGATE_SERVICES"),
        (200, b"<html>hello</html>", {}, Permanent, "not as a model server does"),
        (200, [1], {}, Permanent, "not as a model server does"),
        (404, {"error": "no"}, {}, Permanent, "answers 404"),
        (200, b"x" * (MOST_BYTES + 1), {}, Permanent, "more than 4 MiB"),
        (429, b"", {}, Temporary, "answers 429"),
        (500, b"", {}, Temporary, "answers 500"),
        (503, b"starting", {}, Temporary, "answers 503"),
    ],
)
def test_what_is_no_server_of_a_model_is_an_error(
    server: Server,
    handler: ServiceHandler,
    status: int,
    said: Any,
    headers: dict[str, str],
    error: type[Exception],
    says: str,
) -> None:
    server.says(status, said, headers)
    with pytest.raises(error, match=says):
        handler.health(server.url)
    assert len(server.asked) == 1


def test_nothing_that_is_not_allowed_is_asked(server: Server) -> None:
    for allowed in ([], ["https://churn.example.net"], [f"{server.url}/api"]):
        handler = ServiceHandler(allowed)
        with pytest.raises(Permanent, match="MLGATE_SERVICES"):
            handler.health(server.url)
        with pytest.raises(Permanent, match="MLGATE_SERVICES"):
            handler.answer(server.url, VERSION)
    assert server.asked == []


def test_a_key_goes_to_its_own_server_alone_and_is_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password radioactive\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    key, other = SecretStr("key-1"), SecretStr("key-2")
    keys = ((f"{server.url}/other", other), (f"{server.url}/churn", key))
    server.says(200, OK)
    handler = ServiceHandler(None, keys)
    handler.health(f"{server.url}/churn/v1")
    handler.health(server.url)
    sent = [headers for _, _, headers, _ in server.asked]
    assert [headers.get("x-functions-key") for headers in sent] == ["key-1", None]
    assert "radioactive" not in str(sent)
    assert "authorization" not in sent[0]
    server.says(403, b"")
    with pytest.raises(Permanent) as refused:
        handler.health(f"{server.url}/churn/v1")
    assert "key-1" not in str(refused.value)


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(Temporary, match="does not answer"):
        ServiceHandler(None).health("http://127.0.0.1:9")


HEAD = b"HTTP/1.1 200 OK\r\n"
SLOWLY = {
    "nothing": b"",
    "headers": HEAD,
    "a body": HEAD + b"content-length: 1000\r\n\r\n",
    "a chunked body": HEAD + b"transfer-encoding: chunked\r\n\r\n1000\r\n",
}


@pytest.mark.parametrize("what", SLOWLY)
def test_a_server_that_sends_a_byte_now_and_then_is_left(what: str) -> None:
    """No socket times out of it; and it is asked once as long as it goes on."""
    left, accepted = threading.Event(), list[socket.socket]()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(SLOWLY[what])
            while not left.wait(0.02):
                connection.sendall(b"a")

    def serve() -> None:
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])
                threading.Thread(target=drip, args=(accepted[-1],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        handler = ServiceHandler(None, limit=0.5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(Temporary, match=r"did not answer within 0\.5 s"):
                handler.health(url)
        assert time.monotonic() - began < 10
        assert len(accepted) <= (1 if what in ("nothing", "headers") else 3)
        left.set()
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
