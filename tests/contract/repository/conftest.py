"""Both implementations, every transport: one suite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from handlers.repository_handler import GitCredential, RepositoryHandler
from tests.contract.repository.origins import Origin, demo
from tests.servers.git_http import GitHttpServer, git_http_server
from tests.servers.git_ssh import GitSshServer, git_ssh_server

TOKEN = "s3cret-t0ken-of-the-tests"

MakeHandler = Callable[..., RepositoryHandler]


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """Read by every test, written by none."""
    return demo(tmp_path_factory.mktemp("origins") / "demo.git")


@pytest.fixture(params=["git", "dulwich"])
def use_git(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "git")


@pytest.fixture
def make_handler(use_git: bool, tmp_path: Path) -> MakeHandler:
    def make(**options: Any) -> RepositoryHandler:
        defaults: dict[str, Any] = {
            "home": tmp_path / "home",
            "use_git": use_git,
            "timeout": 60,
            "stall": 30,
        }
        return RepositoryHandler(**(defaults | options))

    return make


@pytest.fixture
def server(origin: Origin) -> Iterator[GitHttpServer]:
    with git_http_server(origin.path.parent) as running:
        yield running


@pytest.fixture
def ssh_server(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GitSshServer]:
    if shutil.which("ssh") is None:
        assert "CI" not in os.environ, "the ssh tests need the OpenSSH client"
        pytest.skip("needs the OpenSSH client")
    secrets = tmp_path / "ssh"
    secrets.mkdir()
    with git_ssh_server(origin.path.parent, secrets) as running:
        monkeypatch.setenv("GIT_SSH_COMMAND", running.command)
        yield running


@dataclass(frozen=True)
class Place:
    """A handler and the URL under which it reaches the demo repository."""

    handler: RepositoryHandler
    url: str


@pytest.fixture(params=["http", "http-token", "ssh", "path"])
def place(request: pytest.FixtureRequest, origin: Origin, make_handler: MakeHandler) -> Place:
    if request.param == "path":
        return Place(make_handler(allowed=[str(origin.path.parent)]), str(origin.path))
    if request.param == "ssh":
        ssh: GitSshServer = request.getfixturevalue("ssh_server")
        return Place(make_handler(allowed=[ssh.url]), f"{ssh.url}/demo.git")
    server: GitHttpServer = request.getfixturevalue("server")
    credentials = []
    if request.param == "http-token":
        server.token = TOKEN
        credentials = [GitCredential(server.url, SecretStr(TOKEN))]
    handler = make_handler(allowed=[server.url], credentials=credentials)
    return Place(handler, f"{server.url}/demo.git")
