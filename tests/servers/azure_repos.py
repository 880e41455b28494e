"""Azure Repos on a free loopback port: its git over http, in front of git's own server, and REST.

Where the service is not known to do either, the stand-in does what is harder for a client:

- Git protocol 2 is not spoken: `Git-Protocol` is not heard, and a command of version 2 gets 400
  (grafana/nanogit#372).
- A request for objects without `multi_ack` or `multi_ack_detailed` gets 400 with TF401041
  (fluxcd/source-controller#104, by its product manager; measured: ConfigButler/gitops-reverser#288
  and its documents). The service accepts one without any capability; here that gets 400 as well.
- Any commit that a ref leads to can be asked for by its SHA, at any depth
  (microsoft/azure-pipelines-agent, GitSourceProvider.cs: TfsGitSourceProvider, GitCliManager.cs;
  a log: microsoft/azure-pipelines-tasks#20008). For any other one the answer is TF401035 in the
  place of what was asked for, as a message for people (as git quotes it: "expected ACK/NAK, got
  '?TF401035: The object ... does not exist.'", a page on submodules of Adobe's Cloud Manager).
- A fetch may leave out trees and files (MicrosoftDocs/azure-devops-yaml-schema, `fetchFilter` of
  steps.checkout).
- A repository that is not there, or that the token does not reach, is 404 with TF401019
  (Kong/insomnia#6484). A job's token reaches what the job names (MicrosoftDocs/azure-devops-docs,
  access-tokens.md).
- A token that is not known is 401 with TF400813, 203 with a sign-in page, or 302 to one
  (MicrosoftDocs/azure-devops-docs; microsoft/azure-pipelines-agent#5520).
- An identity of Microsoft Entra that the organization does not know is 401 with TF401444
  (git-ecosystem/git-credential-manager#850).
"""

from __future__ import annotations

import base64
import gzip
import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote

from tests.servers.azure_repos_rest import Answer, Repository, failure
from tests.servers.git_http import NEUTRAL

SIGN_IN = b"<!DOCTYPE html>\r\n<html><head><title>Azure DevOps | Sign In</title></head></html>"
NOT_EXPECTED = "TF401041: The Git protocol sent is not as expected ({})."
_PATH = re.compile(
    r"(?P<project>(?:/[^/]+){1,2}?)(?P<door>/_git/|/_apis/git/repositories/)(?P<name>[^/]+)(?P<rest>.*)"
)


@dataclass
class Tokens:
    """Who is let in, and to which repositories; None: to all.

    `basic` are personal and job tokens, which come as passwords; `bearer` are Entra identities.
    """

    basic: dict[str, set[str] | None] = field(default_factory=dict)
    bearer: dict[str, set[str] | None] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)  # identities that are in no organization


class AzureReposServer:
    """Serves `NAME.git` below `root` as `{url}/{organization}/{project}/_git/NAME`.

    `refusal`: how a token that is not known is refused. `git_status`: what git's requests get
    instead, if anything, with `git_text`; `says` makes another answer of git's own.
    """

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.tokens: Tokens | None = None  # None: everybody is let in
        self.refusal: Literal[401, 203, 302] = 401
        self.git_status: int | None = None
        self.git_text = ""
        self.says: Callable[[bytes], bytes] | None = None
        self.rest: Callable[[str, Answer], Answer] | None = None  # by the path below the repository
        self.cut = False  # of git's answers only the first half arrives
        self.requests: list[str] = []  # "GET /contoso/flowers/_git/demo/info/refs"
        self.authorizations: list[str | None] = []
        self.rejected: list[str] = []  # why requests for objects got 400

    def answer(self, request: Request) -> Answer:
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _page(404)
        refused = self._refused(request.authorization, match["name"])
        if refused is not None:
            return refused
        folder = self._folder(match["name"])
        if folder is None:
            return _not_there(match["name"])
        if match["door"] != "/_git/":
            answer = Repository(folder, match["name"]).answer(
                request.command, match["rest"], request.query
            )
            return self.rest(match["rest"], answer) if self.rest else answer
        if self.git_status is not None:
            return Answer(self.git_status, self.git_text.encode(), "text/plain; charset=utf-8")
        why = _unexpected(request) if match["rest"] == "/git-upload-pack" else None
        if why is not None:
            self.rejected.append(why)
            return Answer(400, NOT_EXPECTED.format(why).encode(), "text/plain; charset=utf-8")
        if match["rest"] == "/git-upload-pack":
            for sha in _wanted(request):
                if not Repository(folder, match["name"]).hands_out(sha):
                    return _missing(sha)
        answer = _git(folder, match["rest"], request)
        if self.says is not None:
            answer.content = self.says(answer.content)
        return answer

    def _refused(self, authorization: str | None, name: str) -> Answer | None:
        if self.tokens is None:
            return None
        scheme, _, value = (authorization or "").partition(" ")
        if scheme == "Basic":
            token = base64.b64decode(value).decode().partition(":")[2]
            known = self.tokens.basic
        else:
            token, known = value, self.tokens.bearer
        if scheme == "Bearer" and token in self.tokens.strangers:
            says = (
                "TF401444: Please sign-in at least once as host in a web browser to enable access"
            )
            return failure(401, says, "UnauthorizedRequestException")
        if token not in known:
            return self._sign_in()
        reached = known[token]
        return None if reached is None or name in reached else _not_there(name)

    def _sign_in(self) -> Answer:
        if self.refusal == 203:
            return Answer(203, SIGN_IN, "text/html; charset=utf-8")
        if self.refusal == 302:
            target = "https://spsprodweu4.vssps.visualstudio.com/_signin?realm=dev.azure.com"
            return Answer(302, b"", "text/html", {"Location": target})
        says = "TF400813: The user 'aaaaaaaa' is not authorized to access this resource."
        answer = failure(401, says, "UnauthorizedRequestException")
        answer.headers["WWW-Authenticate"] = f'Basic realm="{self.url}/"'
        return answer

    def _folder(self, name: str) -> Path | None:
        for place in (self.root / name, self.root / f"{name}.git"):
            if place.is_dir():
                return place
        return None


@dataclass
class Request:
    command: str
    path: str  # decoded
    query: dict[str, str]
    raw_query: str
    headers: dict[str, str]  # by their names in lower case
    body: bytes

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")

    @property
    def plain(self) -> bytes:
        packed = self.headers.get("content-encoding") == "gzip"
        return gzip.decompress(self.body) if packed else self.body


def _not_there(name: str) -> Answer:
    says = (
        f"TF401019: The Git repository with name or identifier {name} does not exist or you do not "
        "have permissions for the operation you are attempting."
    )
    return failure(404, says, "GitRepositoryNotFoundException")


def _page(status: int) -> Answer:
    return Answer(status, b"<html></html>", "text/html; charset=utf-8")


def _missing(sha: str) -> Answer:
    line = f"\2TF401035: The object '{sha}' does not exist.".encode()
    content = b"%04x%s" % (len(line) + 4, line)
    return Answer(200, content, "application/x-git-upload-pack-result")


def _wanted(request: Request) -> list[str]:
    return [sha.decode() for sha in re.findall(rb"[0-9a-f]{4}want ([0-9a-f]{40})", request.plain)]


def _unexpected(request: Request) -> str | None:
    """Why a request for objects is refused."""
    body = request.plain
    if re.match(rb"[0-9a-f]{4}command=", body):
        return "Protocol version 2 is not supported."
    first = body.partition(b"\n")[0]
    if not {b"multi_ack", b"multi_ack_detailed"} & set(first.split(b" ")):
        return "Clients must support multi-ack."
    return None


def _git(folder: Path, rest: str, request: Request) -> Answer:
    settings = {
        "uploadpack.allowReachableSHA1InWant": "true",
        "uploadpack.allowFilter": "true",
    }
    environment = {
        **NEUTRAL,
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.command,
        "PATH_INFO": rest,
        "QUERY_STRING": request.raw_query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    said = subprocess.run(
        ["git", "http-backend"],
        input=request.body,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    ).stdout
    head, _, content = said.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    status = int(headers.pop("Status", "200").split()[0])
    return Answer(status, content, headers.pop("Content-Type", "text/plain"), headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: AzureReposServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            unquote(path),
            dict(parse_qsl(query, keep_blank_values=True)),
            query,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        self.service.requests.append(f"{self.command} {unquote(path)}")
        self.service.authorizations.append(request.authorization)
        answer = self.service.answer(request)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.service.cut and "/_git/" in path:
            self.wfile.write(answer.content[: len(answer.content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(answer.content)

    do_POST = do_GET  # noqa: N815 -- http.server's name

    def log_message(self, *_: object) -> None:
        """Tests read `requests`, nobody reads stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client may go away at any time."""


@contextmanager
def azure_repos_server(
    root: Path, context: ssl.SSLContext | None = None
) -> Iterator[AzureReposServer]:
    """With `context` it speaks TLS."""

    class Handler(_Handler):
        """One class a server: the instances are made by http.server."""

    server = _Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    service = AzureReposServer(root, int(server.server_address[1]))
    Handler.service = service
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
