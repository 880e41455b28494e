"""A server of Azure Repos that does not understand dulwich."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.handlers.repository_handler.conftest import TOKEN
from tests.contract.handlers.repository_handler.origins import bare, commit, point
from tests.contract.handlers.repository_handler.rest.resembling import REPOSITORIES
from tests.servers.azure_repos import AzureReposServer, Tokens, azure_repos_server


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by every test, written by none."""
    folder = tmp_path_factory.mktemp("origins")
    for name, files in REPOSITORIES.items():
        path = bare(folder / f"{name.replace(' ', '-')}.git")
        point(path, "refs/heads/main", commit(path, files))
    return folder


@pytest.fixture
def service(root: Path) -> Iterator[AzureReposServer]:
    with azure_repos_server(root) as running:
        running.tokens = Tokens(basic={TOKEN: None})
        yield running


@pytest.fixture
def refusing(service: AzureReposServer) -> AzureReposServer:
    """It does not understand dulwich."""
    service.git_status = 400
    service.git_text = "TF401041: The Git protocol sent is not as expected (no reason)."
    return service
