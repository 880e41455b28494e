"""What is kept between builds: shared, mended, bounded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.conftest import MakeHandler
from tests.contract.handlers.repository_handler.origins import Origin, bare, commit, point
from tests.servers.git_http import GitHttpServer


def entries(home: Path) -> list[Path]:
    return sorted(path for path in (home / "repositories").iterdir() if path.is_dir())


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_cache_is_fetched_anew(
    server: GitHttpServer, make_handler: MakeHandler, tmp_path: Path, origin: Origin, damage: str
) -> None:
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["main"])
    with handler.checkout(request):
        pass
    [entry] = entries(tmp_path / "home")
    for path in [path for path in (entry / "objects").rglob("*") if path.is_file()]:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if damage == "missing":
            path.unlink()
    with handler.checkout(request) as checkout:
        assert len(checkout.files()) == 10
    assert server.fetches == 2


def test_a_cache_that_is_no_repository_any_more_does_no_harm(
    server: GitHttpServer, make_handler: MakeHandler, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[server.url])
    with handler.checkout(RepositoryRequest(f"{server.url}/demo.git")):
        pass
    [entry] = entries(tmp_path / "home")
    (entry / "HEAD").unlink()
    (entry / "shallow.lock").touch()
    with handler.checkout(RepositoryRequest(f"{server.url}/demo.git", "dev")) as checkout:
        assert "dev.txt" in checkout.files()


def test_an_interrupted_fetch_is_not_taken_for_a_whole_one(
    server: GitHttpServer, make_handler: MakeHandler, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git")
    with handler.checkout(request):
        pass
    [entry] = entries(tmp_path / "home")
    shutil.rmtree(entry / "refs" / "mlgate")
    with handler.checkout(request) as checkout:
        assert len(checkout.files()) == 10


def test_what_was_used_longest_ago_is_forgotten_first(
    make_handler: MakeHandler, tmp_path: Path
) -> None:
    requests = {}
    for name in "abc":
        path = bare(tmp_path / "origins" / name)
        point(path, "refs/heads/main", commit(path, {"f": name.encode() * 9999}))
        requests[name] = RepositoryRequest(str(path))
    home, allowed = tmp_path / "home", [str(tmp_path / "origins")]
    entry_of = {}
    for name in "ab":
        before = set(entries(home)) if home.exists() else set()
        with make_handler(allowed=allowed).checkout(requests[name]):
            [entry_of[name]] = set(entries(home)) - before
    with make_handler(allowed=allowed).checkout(requests["a"]):
        files = [path for path in (home / "repositories").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    with make_handler(allowed=allowed, cache_bytes=size * 6 // 5).checkout(requests["c"]):
        now = entries(home)
    assert entry_of["a"] in now
    assert entry_of["b"] not in now
    assert len(now) == 2


def test_what_would_not_fit_alone_pushes_nothing_else_out(
    make_handler: MakeHandler, tmp_path: Path
) -> None:
    requests = {}
    for name, size in (("small", 9), ("large", 3 << 20)):
        path = bare(tmp_path / "origins" / name)
        content = os.urandom(size)
        point(path, "refs/heads/main", commit(path, {"f": content}))
        requests[name] = RepositoryRequest(str(path))
    home = tmp_path / "home"
    handler = make_handler(allowed=[str(tmp_path / "origins")], cache_bytes=2 << 20)
    with handler.checkout(requests["small"]):
        kept = entries(home)
    with handler.checkout(requests["large"]):
        assert entries(home) == kept


def test_the_cache_never_exceeds_its_bytes_between_checkouts(
    make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[str(origin.path)], cache_bytes=0)
    for _ in range(2):
        with handler.checkout(RepositoryRequest(str(origin.path))) as checkout:
            assert len(checkout.files()) == 10
            assert list((tmp_path / "home" / "repositories").iterdir()) == []


def test_trees_of_processes_that_died_are_removed(
    make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    left = tmp_path / "home" / "checkouts" / "left"
    (left / "tree").mkdir(parents=True)
    left.with_suffix(".lock").touch()
    handler = make_handler(allowed=[str(origin.path)])
    request = RepositoryRequest(str(origin.path))
    with handler.checkout(request) as outer, handler.checkout(request) as inner:
        assert not left.exists()
        assert outer.folder != inner.folder
        assert outer.folder.is_dir()


def test_a_failed_checkout_leaves_no_tree(
    make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[str(origin.path)])
    with pytest.raises(Permanent):
        handler.checkout(RepositoryRequest(str(origin.path), subdirectory="no")).__enter__()
    assert list((tmp_path / "home" / "checkouts").iterdir()) == []


def test_both_implementations_share_one_cache(
    make_handler: MakeHandler, server: GitHttpServer, use_git: bool, origin: Origin
) -> None:
    url = f"{server.url}/demo.git"
    for ref in ("main", "dev"):
        with make_handler(allowed=[server.url], use_git=use_git).checkout(
            RepositoryRequest(url, ref)
        ):
            pass
    with make_handler(allowed=[server.url], use_git=not use_git).checkout(
        RepositoryRequest(url, "refs/pull/7/merge")
    ) as checkout:
        assert checkout.files() == ("merged.txt",)
    with make_handler(allowed=[server.url], use_git=not use_git).checkout(
        RepositoryRequest(url, origin.commits["main"])
    ) as checkout:
        assert len(checkout.files()) == 10
    assert server.fetches == 3
