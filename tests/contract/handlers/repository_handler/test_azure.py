"""What is Azure Repos' own, read with git and with dulwich."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError, Permanent
from tests.contract.handlers.repository_handler.conftest import TOKEN, MakeHandler, azure_place
from tests.contract.handlers.repository_handler.origins import Origin
from tests.servers.azure_repos import AzureReposServer

WORD = TOKEN.encode()


@pytest.mark.parametrize("known", [True, False])
def test_a_commit_that_is_not_there_is_told_without_its_branches_history(
    azure: AzureReposServer, make_handler: MakeHandler, origin: Origin, tmp_path: Path, known: bool
) -> None:
    """As after a forced push: no ref leads to it any more, or it is gone."""
    place = azure_place(azure, make_handler)
    sha = origin.commits["dangling"] if known else "1" * 40
    with pytest.raises(Permanent, match=rf"ref '{sha}' is not in .*dev, feature/x, main"):
        place.handler.checkout(RepositoryRequest(place.url, sha)).__enter__()
    assert azure.rejected == []
    assert len([line for line in azure.requests if line.startswith("POST")]) <= 1
    assert not list(tmp_path.glob("home/repositories/*/objects/pack/*.pack"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 503])
def test_a_server_that_repeats_the_token_is_not_quoted_with_it(
    azure: AzureReposServer, make_handler: MakeHandler, status: int
) -> None:
    place = azure_place(azure, make_handler)
    azure.git_status, azure.git_text = status, f"TF400813: the token {TOKEN} is not enough"
    azure.rest = lambda _, answer: replace(answer, status=403, content=b'{"message": "%s"}' % WORD)
    with pytest.raises(OrchestrationError) as refused:
        place.handler.checkout(RepositoryRequest(place.url)).__enter__()
    assert TOKEN not in str(refused.value)
