"""HTTP in front of a served model, on the loopback interface, with only the standard library.

    POST /invocations, /predict, /api/predict    the model's answer, as in `mlgate.scorer.replies`
    GET /model                                   {"example"}: the body of a request
    GET /ping, /live, /health                    200

Measurements include it, so it adds little: connections are kept open, each with its own thread and
its own connection to the model, and an answer is one write, sent without Nagle's delay.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from mlgate.scorer import frames
from mlgate.scorer.replies import JSON, ROUTES, Reply, refusal

_MOST_BODY = 10 << 20  # bytes, the default of a server
_BACKLOG = 1024
_MODEL = "/model"
_LOOKS = (_MODEL, "/ping", "/live", "/health")


class Bridge(ThreadingMixIn, TCPServer):
    """`model` is the socket of a served model; `began` is the time of its first request."""

    daemon_threads = True
    request_queue_size = _BACKLOG

    def __init__(self, model: Path, example: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model, self.example = model, example
        self.began: float | None = None
        self.answers = 0
        self._answered = 0.0  # when the last answer came
        self._under_way: dict[int, float] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def waiting_seconds(self) -> float:
        """How long the model has answered nothing although it has requests.

        This is not how long one request waits, which may be behind many others.
        """
        with self._lock:
            began = min(self._under_way.values(), default=None)
            return 0.0 if began is None else time.monotonic() - max(began, self._answered)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Counts the one request that this thread is handling."""
        own, now = threading.get_ident(), time.monotonic()
        with self._lock:
            self.began = self.began or now
            self._under_way[own] = now
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[own]
                self._answered = time.monotonic()
                self.answers += 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: callers may disconnect at any time."""


@contextlib.contextmanager
def bridge(model: Path, example: Any) -> Iterator[Bridge]:
    """A bridge that listens until the context ends."""
    with Bridge(model, example) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield made
        finally:
            made.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Bridge

    def setup(self) -> None:
        super().setup()
        self._model: socket.socket | None = None

    def finish(self) -> None:
        super().finish()
        if self._model is not None:
            self._model.close()

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() else None
        if size is None or size > _MOST_BODY:
            self.close_connection = True  # the body that follows is not read
            status = 400 if size is None else 413
            self._send(refusal(status, f"send a content-length of at most {_MOST_BODY:,} bytes"))
            return
        body = self.rfile.read(size)
        if len(body) < size:  # the caller has disconnected
            self.close_connection = True
            return
        path = self.path.partition("?")[0]
        if path not in ROUTES:
            self._refuse(path)
            return
        with self.server.asking():
            reply = self._asked(path, self.headers.get("content-type"), body)
        self._send(reply)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path not in _LOOKS:
            self._refuse(path)
            return
        found = {"example": self.server.example} if path == _MODEL else {}
        self._send(Reply(200, JSON, json.dumps(found).encode()))

    def _other(self) -> None:
        self.close_connection = True  # the body, if there is one, is not read
        self._refuse(self.path.partition("?")[0])

    do_HEAD = do_GET  # noqa: N815 -- http.server's names
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _other  # noqa: N815 -- as above

    def _refuse(self, path: str) -> None:
        """Answer 405 for a path that needs another method, and 404 for any other path."""
        methods = {**dict.fromkeys(ROUTES, "POST"), **dict.fromkeys(_LOOKS, "GET, HEAD")}
        if allowed := methods.get(path):
            self._send(refusal(405, f"{path} accepts {allowed}.", {"allow": allowed}))
        else:
            self._send(refusal(404, f"There is no {path[:200]} here: {', '.join(methods)}."))

    def log_message(self, *_: object) -> None:
        """Don't log requests."""

    def _asked(self, path: str, content_type: str | None, body: bytes) -> Reply:
        try:
            if self._model is None:
                self._model = socket.socket(socket.AF_UNIX)
                self._model.connect(str(self.server.model))
            header = {"path": path, "content_type": content_type}
            self._model.sendall(frames.packed(header, body))
            found = frames.read(self._model)
        except OSError:
            found = None
        if found is None:
            self.close_connection = True
            return refusal(503, "the model's process has ended")
        return Reply(int(found[0]["status"]), JSON, found[1], found[0]["headers"])

    def _send(self, reply: Reply) -> None:
        close = "connection: close\r\n" if self.close_connection else ""
        more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        head = (
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
            f"content-type: {reply.content_type}\r\n"
            f"content-length: {len(reply.body)}\r\n{more}{close}\r\n"
        )
        self.connection.sendall(head.encode() + (b"" if self.command == "HEAD" else reply.body))
