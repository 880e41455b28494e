"""Between a client and Azurite, on a free loopback port: counts, and has a bad day to order.

A request goes by its verb and the folder it is for, such as "PUT builds", "LIST open" or, in a
container of secrets, "GET secrets".
"""

from __future__ import annotations

import fnmatch
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import urllib3

from mlgate.emulators.azure_ml import Azurite
from mlgate.emulators.azure_ml.signatures import account_sas

# "fine" is none, for this time; a tuple is a status with the service's code.
Fault = Literal["fine", "lost", "reset"] | tuple[int, str]


@dataclass
class BlobRelay:
    """`asked` are the requests so far. A `lost` answer never comes, though the effect is there."""

    azurite: Azurite
    url: str
    asked: list[str] = field(default_factory=list)
    script: list[tuple[str, Fault]] = field(default_factory=list)
    left: int | None = None  # so many requests more are answered, and then none
    lock: threading.Lock = field(default_factory=threading.Lock)

    def container(self, name: str) -> str:
        """The URL of a container, with the right to do all that there is."""
        ends = datetime.now(UTC) + timedelta(hours=2)
        signature = account_sas(self.azurite.account, self.azurite.key, ends)
        return f"{self.url}/{self.azurite.account}/{name}?{signature}"

    def fail(self, call: str, fault: Fault, times: int = 1) -> None:
        """Have the next requests whose names match `call` meet a fault."""
        self.script += [(call, fault)] * times

    def die_after(self, requests: int) -> None:
        """To whoever asks, it is as if they were killed then."""
        self.left = requests

    def revive(self) -> None:
        self.left = None
        self.script.clear()

    def counted(self) -> Counter[str]:
        """The requests since the last time."""
        asked, self.asked = self.asked, []
        return Counter(asked)

    def take(self, call: str) -> Fault | None:
        with self.lock:
            self.asked.append(call)
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    return "reset"
            for number, (pattern, fault) in enumerate(self.script):
                if fnmatch.fnmatchcase(call, pattern):
                    del self.script[number]
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(
        self, relay: BlobRelay, pool: urllib3.HTTPConnectionPool, *arguments: object
    ) -> None:
        self._relay = relay
        self._pool = pool
        super().__init__(*arguments)  # type: ignore[arg-type] # what the server hands on

    def log_message(self, *_: object) -> None:
        """Tests read `asked`, nobody reads stderr."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self._relay.take(_call(self.command, self.path))
        if isinstance(fault, tuple):
            self._send(fault[0], {"x-ms-error-code": fault[1]}, b"")
            return
        if fault != "reset":
            answer = self._pool.urlopen(
                self.command,
                self.path,
                body=body,
                headers=dict(self.headers.items()),
                redirect=False,
                decode_content=False,
            )
            if fault != "lost":
                self._send(answer.status, dict(answer.headers.items()), answer.data)
                return
        self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 -- the names that the server calls

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "keep-alive", "transfer-encoding"):
                self.send_header(name, value)
        if "Content-Length" not in headers and "content-length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _call(verb: str, target: str) -> str:
    """`/account/container/folder/...` as a name."""
    parts, query = urlsplit(target), parse_qs(urlsplit(target).query)
    _, _, container, *blob = parts.path.split("/")
    if query.get("comp") == ["list"]:
        verb, blob = "LIST", query.get("prefix", [""])[0].split("/")
    elif not blob:
        verb = f"{verb} container"
    folder = "secrets" if container.endswith("-secrets") else (blob or [""])[0]
    return re.sub(r"\s+$", "", f"{verb} {folder}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed goes away at any time."""


@contextmanager
def blob_relay(azurite: Azurite) -> Iterator[BlobRelay]:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", azurite.port, maxsize=64, retries=False)
    relay = BlobRelay(azurite, "")
    server = _Server(("127.0.0.1", 0), partial(_Handler, relay, pool))
    relay.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        pool.close()
