"""What is read through REST is the commit that git brings, whatever the zip is that it comes in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.repository_handler import git_rest
from tests.contract.handlers.repository_handler.origins import Content, bare, commit, point
from tests.contract.handlers.repository_handler.rest.resembling import REPOSITORIES
from tests.contract.handlers.repository_handler.rest.support import check_out, through_rest
from tests.servers.azure_repos import AzureReposServer
from tests.servers.azure_repos_rest import Answer


def zip_of(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue()


def renamed(content: bytes, change: Callable[[str, bytes], tuple[str, bytes]]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return zip_of(dict(change(name, archive.read(name)) for name in archive.namelist()))


ZIPS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda zipped: zipped,
    "empty": lambda _: zip_of({}),
    "no zip": lambda _: b"PK\x03\x04 and so on",
    "cut short": lambda zipped: zipped[: len(zipped) // 2],
    "of other line ends": lambda zipped: renamed(
        zipped, lambda name, content: (name, content.replace(b"\n", b"\r\n"))
    ),
    "of hostile names": lambda zipped: renamed(
        zipped, lambda name, content: (f"../../../../tmp/{name}", content)
    ),
    "of a folder": lambda zipped: renamed(
        zipped, lambda name, content: (f"flowers-main/{name}", content)
    ),
    "encrypted": lambda zipped: zipped.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
    ),
}


@pytest.mark.parametrize("few", [0, 1_000_000], ids=["zip", "one by one"])
@pytest.mark.parametrize("name", REPOSITORIES)
def test_the_tree_is_the_one_that_git_brings(
    service: AzureReposServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    few: int,
) -> None:
    monkeypatch.setattr(git_rest, "_FEW", few)
    expected = check_out(service, tmp_path / "git", name)
    assert not any("_apis" in request for request in service.requests)
    service.git_status = 400
    found = through_rest(check_out(service, tmp_path / "rest", name))
    assert found == expected


@pytest.mark.parametrize("zipped", ZIPS.values(), ids=ZIPS.keys())
@pytest.mark.parametrize("name", ["many", "line ends", "links"])
def test_whatever_the_zip_is_the_tree_is_the_commits(
    refusing: AzureReposServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    zipped: Callable[[bytes], bytes],
) -> None:
    monkeypatch.setattr(git_rest, "_FEW", 0)

    def rest(path: str, answer: Answer) -> Answer:
        if path == "/items":
            answer.content = zipped(answer.content)
        return answer

    refusing.rest = rest
    found = through_rest(check_out(refusing, tmp_path / "rest", name))
    refusing.git_status = None
    assert found == check_out(refusing, tmp_path / "git", name)


def test_a_commit_that_is_cached_is_not_brought_again_and_the_next_one_as_what_differs(
    root: Path, refusing: AzureReposServer, tmp_path: Path
) -> None:
    path = bare(root / "growing.git")
    files: dict[str, Content] = {f"{n}.txt": b"%d" % n for n in range(100)}
    point(path, "refs/heads/main", commit(path, files))

    def asked() -> list[str]:
        parts = [request.partition("/growing")[2] for request in refusing.requests]
        refusing.requests.clear()
        return [part[:6] for part in parts if part.startswith(("/items", "/blobs", "/trees"))]

    first = check_out(refusing, tmp_path / "home", "growing")
    assert asked() == ["/trees", "/items"]
    assert check_out(refusing, tmp_path / "home", "growing") == first
    assert check_out(refusing, tmp_path / "home", "growing", first[0]) == first
    assert asked() == []
    point(path, "refs/heads/main", commit(path, {**files, "new": b"new"}))
    assert len(check_out(refusing, tmp_path / "home", "growing")[1]) == 101
    assert asked() == ["/trees", "/blobs"]
