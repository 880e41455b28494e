"""Both implementations, every transport: one suite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import SecretStr

from handlers.repository_handler import GitCredential, RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.ports import Checkout
from tests.contract.handlers.repository_handler.branching import branching
from tests.contract.handlers.repository_handler.origins import Origin, demo
from tests.servers.azure_repos import AzureReposServer, Tokens, azure_repos_server
from tests.servers.git_http import GitHttpServer, git_http_server
from tests.servers.git_ssh import GitSshServer, git_ssh_server

TOKEN = "s3cret-t0ken-of-the-tests"

MakeHandler = Callable[..., RepositoryHandler]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With git nothing is read through REST."""
    without = {"place": "azure-rest", "use_git": "git"}
    out = [item for item in items if without.items() <= _parameters(item).items()]
    items[:] = [item for item in items if item not in out]
    config.hook.pytest_deselected(items=out)


def _parameters(item: pytest.Item) -> dict[str, object]:
    return item.callspec.params if hasattr(item, "callspec") else {}


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """Read by every test, written by none."""
    return demo(tmp_path_factory.mktemp("origins") / "demo.git")


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """A long history, to copy."""
    return branching(tmp_path_factory.mktemp("long") / "long.git")


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


@pytest.fixture
def azure(origin: Origin) -> Iterator[AzureReposServer]:
    with azure_repos_server(origin.path.parent) as running:
        yield running


class Checks(Protocol):
    def checkout(self, request: RepositoryRequest) -> AbstractContextManager[Checkout]: ...

    def contains(self, request: RepositoryRequest, commit: str, branch: str) -> bool: ...


@dataclass(frozen=True)
class OfJob:
    """A handler as a pipeline's job asks it."""

    handler: RepositoryHandler
    collection: str
    token: str = TOKEN

    def checkout(self, request: RepositoryRequest) -> AbstractContextManager[Checkout]:
        token = SecretStr(self.token)
        return self.handler.checkout(request, collection=self.collection, token=token)

    def contains(self, request: RepositoryRequest, commit: str, branch: str) -> bool:
        token = SecretStr(self.token)
        return self.handler.contains(
            request, commit, branch, collection=self.collection, token=token
        )


@dataclass(frozen=True)
class Place:
    """A handler and the URL under which it reaches the demo repository.

    `any_commit`: its server hands out commits that no ref leads to.
    """

    handler: Checks
    url: str
    any_commit: bool = True


def azure_place(azure: AzureReposServer, make_handler: MakeHandler) -> Place:
    azure.tokens = Tokens(basic={TOKEN: None})
    handler = make_handler(allowed=[azure.url])
    url = f"{azure.url}/contoso/flowers/_git/demo"
    return Place(OfJob(handler, f"{azure.url}/contoso/"), url, any_commit=False)


@pytest.fixture(params=["http", "http-token", "ssh", "path", "azure", "azure-rest"])
def place(request: pytest.FixtureRequest, origin: Origin, make_handler: MakeHandler) -> Place:
    if request.param.startswith("azure"):
        azure: AzureReposServer = request.getfixturevalue("azure")
        if request.param == "azure-rest":
            azure.git_status = 400
            azure.git_text = "TF401041: The Git protocol sent is not as expected."
        return azure_place(azure, make_handler)
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
