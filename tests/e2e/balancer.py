"""A small proxy in front of servers, which get requests by weight: what an ingress does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.commands import PATIENCE

_OF_A_CONNECTION = {"connection", "content-length", "date", "server", "transfer-encoding"}


class Balancer(ThreadingHTTPServer):
    """`weights` are shares in percent, by URL; while the context lasts."""

    daemon_threads = True

    def __init__(self, weights: Mapping[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._lock = threading.Lock()
        self._owed: dict[str, int] = {}
        self.weights = dict(weights)

    def __enter__(self) -> Balancer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next(self) -> str:
        """Each as often as its weight says, as evenly as can be."""
        with self._lock:
            for url, weight in self.weights.items():
                self._owed[url] = self._owed.get(url, 0) + weight
            url = max(self.weights, key=lambda each: self._owed[each])
            self._owed[url] -= sum(self.weights.values())
            return url

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers leave as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one segment, so that none waits for an ACK
    server: Balancer

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["content-length"])))

    def _pass_on(self, body: bytes) -> None:
        place = urlsplit(self.server.next()).netloc
        connection = http.client.HTTPConnection(place, timeout=PATIENCE)
        headers = {"content-type": self.headers.get("content-type", "")}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- its name
        pass
