"""Whatever REST answers, it is told in the words of the port, within the bounds of any checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.repository_handler import azure_rest, git_rest
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary
from tests.contract.handlers.repository_handler.conftest import TOKEN
from tests.contract.handlers.repository_handler.origins import (
    bare,
    commit_tree,
    point,
    raw_tree,
    write_blob,
)
from tests.contract.handlers.repository_handler.rest.support import check_out, through_rest
from tests.servers.azure_repos import AzureReposServer
from tests.servers.azure_repos_rest import Answer

PAGE = Answer(200, b"<html>Sign in</html>", "text/html; charset=utf-8")
FAULTS: dict[str, tuple[Answer, type[OrchestrationError], str]] = {
    "unauthorized": (Answer(401, b""), Permanent, "access was refused"),
    "forbidden": (Answer(403, b""), Permanent, "access was refused"),
    "sign-in page": (Answer(203, PAGE.content, PAGE.kind), Permanent, "access was refused"),
    "page": (PAGE, Permanent, "access was refused"),
    "redirect": (
        Answer(302, b"", headers={"Location": "https://example.com/_signin"}),
        Permanent,
        "access was refused",
    ),
    "throttled": (Answer(429, b""), Temporary, "does not answer"),
    "away": (Answer(503, b""), Temporary, "does not answer"),
    "bad request": (Answer(400, b'{"message": "no such version"}'), Permanent, "no such version"),
    "null": (Answer(200, b"null"), Temporary, "does not answer"),
    "half": (Answer(200, b'{"value": [{"name"'), Temporary, "does not answer"),
    "a list": (Answer(200, b"[]"), Temporary, "does not answer"),
    "nothing": (Answer(200, b""), Temporary, "does not answer"),
}


@pytest.mark.parametrize("at", ["", "/refs", "/commits/", "/trees/"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_of_each_answer_has_its_word_and_leaves_nothing_that_harms(
    refusing: AzureReposServer,
    tmp_path: Path,
    fault: tuple[Answer, type[OrchestrationError], str],
    at: str,
) -> None:
    answer, kind, words = fault

    def rest(path: str, true: Answer) -> Answer:
        return answer if (path.startswith(at) if at else path == "") else true

    refusing.rest = rest
    with pytest.raises(kind, match=words) as told:
        check_out(refusing, tmp_path, "package")
    assert TOKEN not in str(told.value)
    refusing.rest = None
    assert through_rest(check_out(refusing, tmp_path, "package"))[1]


def test_a_file_that_is_another_one_is_refused(refusing: AzureReposServer, tmp_path: Path) -> None:
    def rest(path: str, true: Answer) -> Answer:
        if path.startswith("/blobs/") and true.content:
            true.content = bytes(len(true.content))
        return true

    refusing.rest = rest
    with pytest.raises(Permanent, match="sent other content"):
        check_out(refusing, tmp_path, "package")


def test_a_file_that_does_not_end_is_refused(refusing: AzureReposServer, tmp_path: Path) -> None:
    def rest(path: str, true: Answer) -> Answer:
        if path.startswith("/blobs/"):
            true.content += b"x" * 100_000
        return true

    refusing.rest = rest
    with pytest.raises(Permanent, match="more than it listed"):
        check_out(refusing, tmp_path, "package")


def test_a_zip_that_does_not_end_is_refused(refusing: AzureReposServer, tmp_path: Path) -> None:
    def rest(path: str, true: Answer) -> Answer:
        if path == "/items":
            true.content += bytes(8 << 20)
        return true

    refusing.rest = rest
    with pytest.raises(Permanent, match="more than it listed"):
        check_out(refusing, tmp_path, "many")


def test_a_listing_that_lacks_a_path_is_refused(refusing: AzureReposServer, tmp_path: Path) -> None:
    def rest(path: str, true: Answer) -> Answer:
        if path.startswith("/trees/"):
            true.content = true.content.replace(b'"mode": "100755"', b'"mode": "100644"')
        return true

    refusing.rest = rest
    with pytest.raises(Permanent, match="does not match the commit's hash"):
        check_out(refusing, tmp_path, "package")


def test_more_paths_than_can_be_listed_are_refused(
    refusing: AzureReposServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_rest, "_LARGEST_ANSWER", 10_000)
    with pytest.raises(Permanent, match=r"more files and folders .* install git"):
        check_out(refusing, tmp_path, "many")


def test_a_file_that_is_too_large_is_refused_before_it_is_asked_for(
    refusing: AzureReposServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_rest, "LARGEST_OBJECT", 1 << 20)
    with pytest.raises(Permanent, match=r"MiB, the most .*: install git"):
        check_out(refusing, tmp_path, "large")
    assert not any("/items" in request or "/blobs" in request for request in refusing.requests)
    assert not list(tmp_path.glob("repositories/*/objects/??"))


@pytest.mark.parametrize("name", [b"..", b".", b".git", b".GIT", b"../../evil", b"/tmp/evil"])
@pytest.mark.parametrize("below", [False, True])
def test_a_path_git_would_not_check_out_is_refused(
    refusing: AzureReposServer, tmp_path: Path, name: bytes, below: bool
) -> None:
    refusing.root = tmp_path / "origins"
    path = bare(refusing.root / "hostile.git")
    tree = raw_tree(path, [(0o100644, name, write_blob(path, b"evil"))])
    if below:
        tree = raw_tree(path, [(0o40000, b"folder", tree)])
    point(path, "refs/heads/main", commit_tree(path, tree))
    words = "does not match the commit's hash" if b"/" in name else "git itself would not check out"
    with pytest.raises(Permanent, match=words):
        check_out(refusing, tmp_path / "home", "hostile")
    assert not list((tmp_path / "home" / "checkouts").iterdir())


@pytest.mark.parametrize(("mode", "name"), [(0o100644, b"caf\xe9"), (0o100664, b"group-may-write")])
def test_what_rest_does_not_show_as_it_is_is_told(
    refusing: AzureReposServer, tmp_path: Path, mode: int, name: bytes
) -> None:
    refusing.root = tmp_path / "origins"
    path = bare(refusing.root / "old.git")
    tree = raw_tree(path, [(mode, name, write_blob(path, b"x"))])
    point(path, "refs/heads/main", commit_tree(path, tree))
    with pytest.raises(Permanent, match=r"not UTF-8 and with modes of old programs; install git"):
        check_out(refusing, tmp_path / "home", "old")
