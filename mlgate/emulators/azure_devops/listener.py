"""The sockets: HTTP/1.1 on loopback, one thread per connection; faults can cut connections."""

from __future__ import annotations

import re
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from mlgate.emulators.azure_devops.exchange import Answer, Drop, Request


class Listener:
    """Binds when created, so that the port is known; serves between `start` and `stop`."""

    def __init__(self, respond: Callable[[Request], Answer]) -> None:
        self._stopping = threading.Event()
        connection = partial(_Connection, respond, self._stopping)
        self._server = _Server(("127.0.0.1", 0), connection)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="azure-devops-emulator",
            daemon=True,
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        ending = threading.Thread(target=self._server.shutdown)
        ending.start()
        with suppress(OSError):  # wakes the server, which otherwise looks after its interval
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        ending.join()
        self._server.cut_all()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect before they are answered."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def cut_all(self) -> None:
        """Wake the threads that wait for the next request on a kept-alive connection."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one segment
    disable_nagle_algorithm = True

    def __init__(
        self, respond: Callable[[Request], Answer], stopping: threading.Event, *arguments: Any
    ) -> None:
        self._respond = respond
        self._stopping = stopping
        super().__init__(*arguments)  # handles the connection until it ends

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        path, _, query = self.path.partition("?")
        request = Request(
            method=self.command,
            path=re.sub("/{2,}", "/", unquote(path)),
            query={name.lower(): value for name, value in parse_qsl(query)},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        try:
            answer = self._respond(request)
        except Drop as drop:
            self._drop(drop)
            return
        payload = answer.payload()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815 -- the base class's names

    def _drop(self, drop: Drop) -> None:
        if drop.hang:
            self._stopping.wait()
        reset_on_close = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
        self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        """Print nothing: the server records the requests."""
