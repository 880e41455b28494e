"""REST is for a server that does not understand dulwich, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent, Temporary
from tests.contract.handlers.repository_handler.rest.support import check_out, through_rest
from tests.servers.azure_repos import AzureReposServer
from tests.servers.azure_repos_rest import Answer


@pytest.mark.parametrize("status", [401, 403, 404, 203, 302])
def test_a_right_that_git_is_refused_is_not_looked_for_in_rest(
    service: AzureReposServer, tmp_path: Path, status: int
) -> None:
    service.git_status = status
    with pytest.raises(Permanent, match=r"access was refused.*uses: repositories"):
        check_out(service, tmp_path, "package")
    assert not any("_apis" in request for request in service.requests)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again_later_and_not_through_rest(
    service: AzureReposServer, tmp_path: Path, status: int
) -> None:
    service.git_status = status
    with pytest.raises(Temporary, match="does not answer"):
        check_out(service, tmp_path, "package")
    assert not any("_apis" in request for request in service.requests)


@pytest.mark.parametrize(
    "answer", [b"", b"0004" * 1000, b"0000", b"001a# service=git-nothing\n0000"]
)
def test_an_answer_that_dulwich_does_not_understand_leads_to_rest(
    service: AzureReposServer, tmp_path: Path, answer: bytes
) -> None:
    service.says = lambda _: answer
    assert through_rest(check_out(service, tmp_path, "package"))[1]


def test_a_server_that_hung_up_is_asked_again_later_even_when_rest_has_another_answer(
    service: AzureReposServer, tmp_path: Path
) -> None:
    """It may have been in trouble, and git have its say next time."""
    service.says = lambda _: b""
    service.rest = lambda path, true: Answer(400, b"{}") if path == "" else true
    with pytest.raises(Temporary, match="does not answer"):
        check_out(service, tmp_path, "package")


def test_an_answer_that_is_cut_short_on_its_way_is_asked_for_again_later(
    service: AzureReposServer, tmp_path: Path
) -> None:
    service.cut = True
    with pytest.raises(Temporary, match="does not answer"):
        check_out(service, tmp_path, "package")
    assert not any("_apis" in request for request in service.requests)


def test_another_server_is_told_that_git_is_missing(
    refusing: AzureReposServer, tmp_path: Path
) -> None:
    handler = RepositoryHandler(home=tmp_path, allowed=[refusing.url], use_git=False)
    refusing.tokens = None
    with pytest.raises(Permanent, match=r"HTTP 400: TF401041.*install git"):
        handler.checkout(
            RepositoryRequest(f"{refusing.url}/contoso/flowers/_git/package")
        ).__enter__()
    assert not any("_apis" in request for request in refusing.requests)


def test_what_is_cached_is_served_to_its_readers_alone(
    refusing: AzureReposServer, tmp_path: Path
) -> None:
    assert refusing.tokens is not None
    refusing.tokens.basic["narrow"] = {"links"}
    sha, _, _ = check_out(refusing, tmp_path, "package")
    for ref in (None, "main", sha):
        with pytest.raises(Permanent, match="access was refused"):
            check_out(refusing, tmp_path, "package", ref, token="narrow")
