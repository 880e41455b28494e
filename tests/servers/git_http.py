"""Git's own smart http server, `git http-backend`, on a free loopback port."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Nothing of the user's or the machine's git configuration reaches what a test measures.
NEUTRAL = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "PATH": os.environ["PATH"],
}


def filtering(allowed: bool) -> dict[str, str]:
    """Environment of git's server: whether it leaves out what a client asks it to."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "uploadpack.allowFilter",
        "GIT_CONFIG_VALUE_0": str(allowed).lower(),
    }


class GitHttpServer:
    """Serves the repositories below `root`.

    `token`: what basic authentication must carry as its password. `protocol_2` off makes it a
    server that refuses commits which no ref names. `stalled` answers nothing, `status` only with
    that status, `redirect` with that location; `says` makes another answer of git's own. `filters`
    off makes it a server that sends all files with a commit.
    """

    def __init__(self, root: Path, port_server: ThreadingHTTPServer) -> None:
        self.root = root
        self.token: str | None = None
        self.protocol_2 = True
        self.filters = True
        self.stalled = False
        self.status: int | None = None
        self.redirect: str | None = None
        self.says: Callable[[bytes], bytes] | None = None
        self.requests: list[str] = []  # "GET /demo.git/info/refs"
        self.authorizations: list[str | None] = []
        self.lfs_objects: dict[str, bytes] = {}  # by their SHA-256
        self.fetches = 0  # requests that asked for objects
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{port_server.server_address[1]}"

    def admits(self, authorization: str | None) -> bool:
        if self.token is None:
            return True
        scheme, _, value = (authorization or "").partition(" ")
        if scheme != "Basic":
            return False
        return base64.b64decode(value).decode().partition(":")[2] == self.token


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    git: GitHttpServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Tests read `requests`, nobody reads stderr."""

    def _answer(self) -> None:
        git = self.git
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization")
        git.requests.append(f"{self.command} {path}")
        git.authorizations.append(authorization)
        git.fetches += b"want " in body
        git.arrived.set()
        if git.stalled:
            git.released.wait(60)
            self.close_connection = True
        elif git.redirect:
            self._reply(302, {"Location": git.redirect + self.path}, b"")
        elif git.status:
            self._reply(git.status, {}, b"")
        elif not git.admits(authorization):
            self._reply(401, {"WWW-Authenticate": 'Basic realm="test"'}, b"")
        elif path.endswith("/info/lfs/objects/batch"):
            self._lfs_batch(json.loads(body))
        elif path.startswith("/lfs/") and path[5:] in git.lfs_objects:
            self._reply(200, {}, git.lfs_objects[path[5:]])
        else:
            self._backend(path, query, body)

    def _lfs_batch(self, asked: dict[str, list[dict[str, object]]]) -> None:
        """https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md"""
        scheme = {"Authorization": self.headers.get("Authorization") or ""}
        for item in asked["objects"]:
            if item["oid"] in self.git.lfs_objects:
                href = f"{self.git.url}/lfs/{item['oid']}"
                item["actions"] = {"download": {"href": href, "header": scheme}}
            else:
                item["error"] = {"code": 404, "message": "Object does not exist"}
        answer = {"transfer": "basic", "objects": asked["objects"]}
        content = {"Content-Type": "application/vnd.git-lfs+json"}
        self._reply(200, content, json.dumps(answer).encode())

    def _backend(self, path: str, query: str, body: bytes) -> None:
        environment = {
            **NEUTRAL,
            "GIT_PROJECT_ROOT": str(self.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            **filtering(self.git.filters),
        }
        if self.git.protocol_2:
            environment["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
        answer = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").split()[0])
        content = self.git.says(content) if self.git.says else content
        self._reply(status, headers, content)

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def git_http_server(root: Path) -> Iterator[GitHttpServer]:
    class Handler(_Handler):
        """One class a server: the instances are made by http.server."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    git = GitHttpServer(root, server)
    Handler.git = git
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield git
    finally:
        git.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
