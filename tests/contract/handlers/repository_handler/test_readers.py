"""What is cached is served to those alone whom the server lets read it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.conftest import TOKEN, MakeHandler
from tests.contract.handlers.repository_handler.origins import (
    Content,
    Origin,
    bare,
    commit,
    git,
    point,
)
from tests.servers.git_http import GitHttpServer, git_http_server
from tests.servers.git_ssh import GitSshServer

KNOWN = ("main", "second", "first", "merge", "dangling")


def refs(origin: Origin) -> Iterator[str]:
    """Every way to name a commit that is there."""
    yield from ("HEAD", "main", "refs/heads/dev", "feature/x", "light", "v1", "refs/pull/7/merge")
    yield git(origin.path, "rev-parse", "v1")  # the tag itself
    for name in KNOWN:
        yield origin.commits[name]
        yield origin.commits[name].upper()


def open_with(handler: RepositoryHandler, request: RepositoryRequest, token: str, url: str) -> int:
    """How many files the job of this token finds."""
    with handler.checkout(request, collection=url, token=SecretStr(token)) as checkout:
        return len(checkout.files())


@pytest.mark.parametrize("same", [True, False], ids=["one process", "another process"])
def test_no_name_of_a_cached_commit_opens_it_to_another_token(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin, same: bool
) -> None:
    server.token = TOKEN
    url = f"{server.url}/demo.git"
    first = make_handler(allowed=[server.url])
    for ref in refs(origin):
        assert open_with(first, RepositoryRequest(url, ref), TOKEN, server.url)
    other = first if same else make_handler(allowed=[server.url])
    for ref in refs(origin):
        for token in ("a token of another collection", ""):
            with pytest.raises(Permanent, match="access was refused"):
                open_with(other, RepositoryRequest(url, ref), token, server.url)
        with (
            pytest.raises(Permanent, match="access was refused"),
            other.checkout(RepositoryRequest(url, ref)),
        ):
            pass


def test_another_reader_costs_one_listing_and_the_same_one_none(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["main"])
    handler = make_handler(allowed=[server.url])
    listing = ["GET /demo.git/info/refs", "POST /demo.git/git-upload-pack"]
    for token, costs in (("a", None), ("b", listing), ("a", []), ("b", [])):
        server.requests.clear()
        server.fetches = 0
        assert open_with(handler, request, token, server.url) == 10
        if costs is not None:
            assert server.requests == costs
            assert server.fetches == 0


def test_a_right_that_was_withdrawn_opens_nothing_to_another_process(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    server.token = TOKEN
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["main"])
    assert open_with(make_handler(allowed=[server.url]), request, TOKEN, server.url) == 10
    server.token = "another"
    with pytest.raises(Permanent, match="access was refused"):
        open_with(make_handler(allowed=[server.url]), request, TOKEN, server.url)


def test_a_host_that_ssh_does_not_let_in_any_more_reads_nothing(
    ssh_server: GitSshServer, make_handler: MakeHandler, origin: Origin
) -> None:
    request = RepositoryRequest(f"{ssh_server.url}/demo.git", origin.commits["main"])
    with make_handler(allowed=[ssh_server.url]).checkout(request):
        pass
    ssh_server.known_hosts.write_text("")
    with pytest.raises(Permanent, match="access was refused"):
        make_handler(allowed=[ssh_server.url]).checkout(request).__enter__()


def test_a_repository_that_is_gone_from_this_machine_is_not_read_from_the_cache(
    make_handler: MakeHandler, tmp_path: Path
) -> None:
    path = bare(tmp_path / "here.git")
    sha = commit(path, {"file": b"x"})
    point(path, "refs/heads/main", sha)
    request = RepositoryRequest(str(path), sha)
    with make_handler(allowed=[str(tmp_path)]).checkout(request):
        pass
    path.rename(tmp_path / "elsewhere.git")
    with pytest.raises(Permanent, match="not found or access was refused"):
        make_handler(allowed=[str(tmp_path)]).checkout(request).__enter__()


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[tuple[GitHttpServer, GitHttpServer, dict[str, str]]]:
    """A server that anybody may read, whose repository has a submodule on one of `TOKEN` alone."""
    (tmp_path / "public").mkdir()
    inner = bare(tmp_path / "private" / "inner.git")
    commits = {"inner": commit(inner, {"secret.py": b"secret"})}
    point(inner, "refs/heads/main", commits["inner"])
    with (
        git_http_server(tmp_path / "public") as public,
        git_http_server(tmp_path / "private") as private,
    ):
        private.token = TOKEN
        outer = bare(tmp_path / "public" / "outer.git")
        url = f"{private.url}/inner.git"
        files: dict[str, Content] = {
            ".gitmodules": f'[submodule "i"]\n\tpath = lib\n\turl = {url}\n'.encode(),
            "lib": (0o160000, commits["inner"].encode()),
        }
        commits["outer"] = commit(outer, files)
        point(outer, "refs/heads/main", commits["outer"])
        yield public, private, commits


def test_a_cached_submodule_is_served_to_its_readers_alone(
    parted: tuple[GitHttpServer, GitHttpServer, dict[str, str]], tmp_path: Path
) -> None:
    public, private, commits = parted
    handler = RepositoryHandler(
        home=tmp_path / "home", allowed=[public.url, private.url], use_git=True
    )
    request = RepositoryRequest(f"{public.url}/outer.git", commits["outer"], submodules=True)
    assert open_with(handler, request, TOKEN, private.url) == 2
    assert open_with(handler, replace(request, ref="main"), TOKEN, private.url) == 2
    for ref in ("main", commits["outer"]):
        with pytest.raises(Permanent, match=r"inner\.git was not found or access was refused"):
            open_with(handler, replace(request, ref=ref), "another", private.url)
    # Nor as a repository of its own.
    inner = RepositoryRequest(f"{private.url}/inner.git", commits["inner"])
    with pytest.raises(Permanent, match="access was refused"):
        open_with(handler, inner, "another", private.url)


def test_cached_lfs_content_is_served_to_its_readers_alone(tmp_path: Path) -> None:
    if shutil.which("git-lfs") is None:
        assert "CI" not in os.environ, "the LFS tests need git-lfs"
        pytest.skip("needs git-lfs")
    content = b"weights" * 500
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 3500\n"
    path = bare(tmp_path / "origins" / "lfs.git")
    sha = commit(path, {"model.bin": pointer.encode()})
    point(path, "refs/heads/main", sha)
    with git_http_server(path.parent) as server:
        server.token = TOKEN
        server.lfs_objects[oid] = content
        handler = RepositoryHandler(home=tmp_path / "home", allowed=[server.url], use_git=True)
        request = RepositoryRequest(f"{server.url}/lfs.git", sha, lfs=True)
        assert open_with(handler, request, TOKEN, server.url) == 1
        with pytest.raises(Permanent, match="access was refused"):
            open_with(handler, request, "another", server.url)
