"""The CONNECT proxy that leads clients here, whatever host of the service they ask for.

It refuses other methods, and hosts that are not emulated, so a client under test cannot reach other
machines through it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import socket
import socketserver
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

_CHUNK = 64 * 1024
_LIMIT = 16 * 1024  # bytes of a request's head
# urllib3 leaves Nagle's algorithm on for proxies and sends head and body separately, so a request
# with a body takes 40 ms unless we acknowledge at once. Linux only; it must be set for each read.
_ACKNOWLEDGE_AT_ONCE = getattr(socket, "TCP_QUICKACK", None)


class Proxy:
    """Binds when created; `complain` is called with what was refused."""

    def __init__(self, hosts: tuple[str, ...], port: int, complain: Callable[[str], None]) -> None:
        handler = partial(_Connection, hosts, port, complain)
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="azure-ml-proxy",
            daemon=True,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: either side may disconnect at any time."""


class _Connection(socketserver.BaseRequestHandler):
    def __init__(
        self, hosts: tuple[str, ...], port: int, complain: Callable[[str], None], *arguments: Any
    ) -> None:
        self._hosts = hosts
        self._port = port
        self._complain = complain
        super().__init__(*arguments)

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _LIMIT:
            received = self.request.recv(_CHUNK)
            if not received:
                return
            head += received
        verb, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        if verb != "CONNECT":
            self._refuse("405 Method Not Allowed", f"the proxy was asked for {verb} {rest}")
        elif port != "443" or not any(fnmatch.fnmatch(host.lower(), name) for name in self._hosts):
            self._refuse("403 Forbidden", f"unknown host {host}:{port}")
        else:
            self._tunnel(head.partition(b"\r\n\r\n")[2])

    def _refuse(self, status: str, why: str) -> None:
        self._complain(why)
        answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self.request.sendall(answer.encode())

    def _tunnel(self, early: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as inner:
            for end in (inner, self.request):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.request.sendall(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            inner.sendall(early)
            back = threading.Thread(target=_pump, args=(inner, self.request), daemon=True)
            back.start()
            _pump(self.request, inner)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until one side ends; a reset on one side becomes an end on the other."""
    with contextlib.suppress(OSError):
        while received := source.recv(_CHUNK):
            if _ACKNOWLEDGE_AT_ONCE is not None:
                source.setsockopt(socket.IPPROTO_TCP, _ACKNOWLEDGE_AT_ONCE, 1)
            sink.sendall(received)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
