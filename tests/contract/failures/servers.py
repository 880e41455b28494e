"""A server on loopback that answers as badly as it is asked to; runs in any environment."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Bad(BaseHTTPRequestHandler):
    """`/503` has that status; `/close` gives no answer, `/cut` half a one, `/slow` a late one."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        last = self.path.strip("/").split("/")[0].split("?")[0]
        if last == "close":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if last == "slow":
            time.sleep(3)
        status = int(last) if last.isdigit() else 200
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000" if last == "cut" else "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815 -- the server's names

    def log_message(self, *_: object) -> None: ...


class Quiet(ThreadingHTTPServer):
    """A client that goes is expected."""

    def handle_error(self, *_: object) -> None: ...


def bad_server() -> str:
    """Its URL, for as long as the process lives."""
    server = Quiet(("127.0.0.1", 0), Bad)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"
