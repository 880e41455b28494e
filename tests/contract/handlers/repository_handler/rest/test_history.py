"""What is on a branch, as REST tells it: few requests, and no fault that is taken for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary
from tests.contract.handlers.repository_handler.conftest import TOKEN
from tests.contract.handlers.repository_handler.origins import Origin, demo
from tests.contract.handlers.repository_handler.rest.test_faults import FAULTS
from tests.servers.azure_repos import AzureReposServer
from tests.servers.azure_repos_rest import Answer

BELOW = "/contoso/flowers/_apis/git/repositories/demo"


@pytest.fixture
def origin(refusing: AzureReposServer, tmp_path: Path) -> Origin:
    refusing.root = tmp_path / "origins"
    return demo(refusing.root / "demo.git")


def contains(
    service: AzureReposServer, home: Path, commit: str, branch: str = "main", token: str = TOKEN
) -> bool:
    handler = RepositoryHandler(
        home=home, allowed=[service.url], use_git=False, timeout=60, stall=30
    )
    request = RepositoryRequest(f"{service.url}/contoso/flowers/_git/demo")
    collection = f"{service.url}/contoso"
    return handler.contains(request, commit, branch, collection=collection, token=SecretStr(token))


def asked(service: AzureReposServer) -> list[str]:
    """What REST was asked for."""
    below = f"GET {BELOW}"
    return [line.removeprefix(below) for line in service.requests if line.startswith(below)]


def test_the_service_tells_in_three_answers(
    refusing: AzureReposServer, origin: Origin, tmp_path: Path
) -> None:
    first, main = origin.commits["first"], origin.commits["main"]
    assert contains(refusing, tmp_path / "home", first)
    assert asked(refusing) == ["/refs", f"/commits/{first}", f"/commits/{main}/mergebases"]
    assert not contains(refusing, tmp_path / "home", origin.commits["dev"])
    assert not contains(refusing, tmp_path / "home", origin.commits["merge"])


def test_where_dulwich_could_not_ask_for_commits_alone_rest_is_asked(
    refusing: AzureReposServer, origin: Origin, tmp_path: Path
) -> None:
    refusing.git_status = None
    assert contains(refusing, tmp_path / "home", origin.commits["main"])
    assert asked(refusing) == []
    assert contains(refusing, tmp_path / "home", origin.commits["first"])
    assert not contains(refusing, tmp_path / "home", origin.commits["merge"])
    assert not any("POST" in line for line in refusing.requests)


def test_a_commit_that_is_not_there_is_on_no_branch(
    refusing: AzureReposServer, origin: Origin, tmp_path: Path
) -> None:
    for commit in ("1" * 40, origin.commits["dangling"]):
        assert not contains(refusing, tmp_path / "home", commit)


@pytest.mark.parametrize("at", ["/refs", "/commits/"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_of_each_answer_has_its_word(
    refusing: AzureReposServer,
    origin: Origin,
    tmp_path: Path,
    fault: tuple[Answer, type[OrchestrationError], str],
    at: str,
) -> None:
    answer, kind, words = fault
    refusing.rest = lambda path, true: answer if path.startswith(at) else true
    with pytest.raises(kind, match=words) as told:
        contains(refusing, tmp_path / "home", origin.commits["first"])
    assert TOKEN not in str(told.value)
    refusing.rest = None
    assert contains(refusing, tmp_path / "home", origin.commits["first"])


ODD: dict[str, Answer] = {
    "not there any more": Answer(404, b'{"message": "TF401035: The object does not exist."}'),
    "no commit": Answer(200, b'{"value": [{"commitId": "main"}]}'),
    "no list": Answer(200, b'{"value": null}'),
    "nothing": Answer(200, b"{}"),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD.keys())
def test_what_says_nothing_of_merge_bases_is_asked_for_again_later(
    refusing: AzureReposServer, origin: Origin, tmp_path: Path, answer: Answer
) -> None:
    refusing.rest = lambda path, true: answer if path.endswith("/mergebases") else true
    with pytest.raises(Temporary, match="does not answer"):
        contains(refusing, tmp_path / "home", origin.commits["first"])


def test_an_answer_is_given_to_its_readers_alone(
    refusing: AzureReposServer, origin: Origin, tmp_path: Path
) -> None:
    assert contains(refusing, tmp_path / "home", origin.commits["first"])
    with pytest.raises(Permanent, match="access was refused"):
        contains(refusing, tmp_path / "home", origin.commits["first"], token="another")
