"""Checkouts by dulwich, and what comes of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from tests.contract.handlers.repository_handler.conftest import TOKEN
from tests.contract.handlers.repository_handler.origins import on_disk
from tests.servers.azure_repos import AzureReposServer

Seen = tuple[str, dict[str, tuple[bool, bytes]], tuple[str, ...]]


def check_out(
    service: AzureReposServer, home: Path, name: str, ref: str | None = None, token: str = TOKEN
) -> Seen:
    """The commit, what is on disk, and the warnings of both ways."""
    handler = RepositoryHandler(
        home=home, allowed=[service.url], use_git=False, timeout=60, stall=30
    )
    url = f"{service.url}/contoso/flowers/_git/{name.replace(' ', '-')}"
    job = {"collection": f"{service.url}/contoso", "token": SecretStr(token)}
    with handler.checkout(RepositoryRequest(url, ref), **job) as checkout:  # type: ignore[arg-type]  # named by the caller
        return checkout.commit, on_disk(checkout.folder), checkout.warnings


def through_rest(seen: Seen) -> Seen:
    """Without the warning, which is there."""
    told = [warning for warning in seen[2] if "through its REST API" not in warning]
    assert len(told) == len(seen[2]) - 1
    return (*seen[:2], tuple(told))
