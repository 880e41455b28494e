"""`mlgate validate --checkout` opens what a worker of the same host would open."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from handlers.identity_handler import credential
from mlgate.hosts.validation import validate
from tests.contract.handlers.repository_handler.origins import Origin
from tests.servers.azure_repos import Tokens
from tests.servers.azure_repos_at_home import azure_repos_at_home

URL = "https://dev.azure.com/contoso/flowers/_git/demo"


class _Endpoint(BaseHTTPRequestHandler):
    """A managed identity's, as App Service has it."""

    def do_GET(self) -> None:
        expires = str(int(time.time()) + 3600)
        token = {"access_token": "of-the-host", "expires_on": expires, "token_type": "Bearer"}
        body = json.dumps(token).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The token of the managed identity that this host has."""
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    where = f"http://127.0.0.1:{server.server_address[1]}/msi/token"
    monkeypatch.setenv("IDENTITY_ENDPOINT", where)
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")  # not whoever is signed in here
    credential.cache_clear()
    yield "of-the-host"
    credential.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("member", [True, False])
def test_the_hosts_identity_opens_azure_repos_for_a_validation_too(
    member: bool, identity: str, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [{"kind": "training", "name": "t", "command": "true"}]
    path = tmp_path / "message.json"
    path.write_text(json.dumps({"version": 1, "repository": {"url": URL}, "runs": runs}))
    monkeypatch.setenv("MLGATE_HOME", str(tmp_path / "home"))
    options = argparse.Namespace(
        message=str(path), repository=None, ref=None, worktree=False, checkout=True
    )
    (tmp_path / "tls").mkdir()
    with azure_repos_at_home(origin.path.parent, tmp_path / "tls", monkeypatch) as service:
        service.tokens = Tokens(bearer={identity: None} if member else {})
        found = validate(options).findings
    assert [each.code for each in found] == ([] if member else ["unavailable-repository"])
    assert member or "Organization settings > Users" in found[0].message
