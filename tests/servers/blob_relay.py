"""Between a client and Azurite, on a free loopback port: counts, and has a bad day to order.

A request goes by its verb and the folder it is for, such as "PUT builds", "LIST open" or, in a
container of secrets, "GET secrets".

The storage's clock, as clients see it, is the test's: `later` is how far it has moved on. What a
blob says of its last write stays as it was then.
"""

from __future__ import annotations

import fnmatch
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
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
    """`asked` are the requests so far, and `moved` their bytes and those of their answers. A `lost`
    answer never comes, though the effect is there."""

    azurite: Azurite
    url: str
    asked: list[str] = field(default_factory=list)
    script: list[tuple[str, Fault]] = field(default_factory=list)
    moved: int = 0
    left: int | None = None  # so many requests more are answered, and then none
    held: tuple[int, Callable[[], object]] | None = None
    later: timedelta = timedelta(0)
    written: dict[str, timedelta] = field(default_factory=dict)  # `later` at a path's last write
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

    def hold(self, requests: int, act: Callable[[], object]) -> None:
        """Do something after so many requests, before the next one has any effect."""
        self.held = requests, act

    def let_go(self) -> None:
        """Do it now, unless it was done."""
        held, self.held = self.held, None
        if held is not None:
            held[1]()

    def revive(self) -> None:
        self.left = None
        self.script.clear()

    def counted(self) -> Counter[str]:
        """The requests since the last time."""
        asked, self.asked, self.moved = self.asked, [], 0
        return Counter(asked)

    def passed(self, *sizes: int) -> None:
        with self.lock:
            self.moved += sum(sizes)

    def timed(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """An answer by the test's clock: the headers are changed, the body is returned."""
        if verb == "PUT":
            self.written[path] = self.later
        for name, value in headers.items():
            if name.lower() == "date":
                headers[name] = _moved(value, self.later)
            elif name.lower() == "last-modified":
                headers[name] = _moved(value, self.written.get(path, timedelta(0)))

        def listed(found: re.Match[str]) -> str:
            written = self.written.get(f"{path}/{found[2]}", timedelta(0))
            return found[1] + _moved(found[3], written)

        return _LISTED.sub(listed, body.decode()).encode() if b"<Blobs>" in body else body

    def take(self, call: str) -> Fault | None:
        with self.lock:
            held = self.held
            if held is not None:
                self.held = held[0] - 1, held[1]
        if held is not None and held[0] == 0:
            self.let_go()
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


_LISTED = re.compile(r"(<Name>([^<]*)</Name>.*?<Last-Modified>)([^<]*)", re.DOTALL)


def _moved(time: str, later: timedelta) -> str:
    return format_datetime(parsedate_to_datetime(time) + later, usegmt=True)


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
            headers, path = dict(answer.headers.items()), urlsplit(self.path).path
            data = self._relay.timed(
                self.command if answer.status < 300 else "none", path, headers, answer.data
            )
            self._relay.passed(
                len(self.path) + _length(dict(self.headers.items())),
                len(body),
                _length(headers),
                len(data),
            )
            if fault != "lost":
                self._send(answer.status, headers, data)
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


def _length(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())


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
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        pool.close()
