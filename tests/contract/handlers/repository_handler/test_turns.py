"""Checkouts of one repository at the same time: one fetches, all others read what is there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from handlers.repository_handler.cache import Cache
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Busy
from tests.contract.handlers.repository_handler.conftest import MakeHandler
from tests.contract.handlers.repository_handler.origins import Origin, bare, commit, point
from tests.servers.git_http import GitHttpServer, git_http_server

SECONDS = 60  # until a test gives up


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[GitHttpServer, str]]:
    """A repository of 300 files, and its commit."""
    path = bare(tmp_path / "origins" / "large.git")
    files = {f"{n % 40}/{n}.bin": os.urandom(500) for n in range(300)}
    sha = commit(path, dict(files))
    point(path, "refs/heads/main", sha)
    with git_http_server(path.parent) as running:
        yield running, sha


def many(home: Path, url: str, use_git: bool, *arguments: str) -> subprocess.Popen[str]:
    program = "git" if use_git else "dulwich"
    module = (sys.executable, "-m", "tests.contract.handlers.repository_handler.many")
    return subprocess.Popen(
        [*module, home, url, program, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_of_twenty_checkouts_in_two_processes_none_fails_and_one_fetches(
    large: tuple[GitHttpServer, str], use_git: bool, tmp_path: Path
) -> None:
    server, _ = large
    url = f"{server.url}/large.git"
    processes = [many(tmp_path / "home", url, use_git, "10") for _ in range(2)]
    told = [line for each in processes for line in each.communicate(timeout=120)[0].split("\n")]
    assert [line for line in told if line] == ["300"] * 20
    assert server.fetches == 1
    assert list((tmp_path / "home" / "checkouts").iterdir()) == []


def test_whose_turn_it_is_not_is_told_at_once_and_costs_no_fetch(
    server: GitHttpServer, make_handler: MakeHandler
) -> None:
    url = f"{server.url}/demo.git"
    with stalled(server, make_handler, RepositoryRequest(url, "a" * 40)):
        server.requests.clear()
        handler = make_handler(allowed=[server.url])
        for _ in range(3):
            with pytest.raises(Busy, match=r"Another checkout of .*/demo\.git is fetching") as told:
                handler.checkout(RepositoryRequest(url, "b" * 40)).__enter__()
            assert told.value.delay == 5
        assert server.requests == []


def test_what_is_cached_is_exported_while_another_commit_is_fetched(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    url = f"{server.url}/demo.git"
    cached = {name: origin.commits[name] for name in ("main", "dev", "second")}
    handler = make_handler(allowed=[server.url])
    for sha in cached.values():
        with handler.checkout(RepositoryRequest(url, sha)):
            pass
    with stalled(server, make_handler, RepositoryRequest(url, "a" * 40)), ExitStack() as stack:
        found = {
            name: stack.enter_context(handler.checkout(RepositoryRequest(url, sha)))
            for name, sha in cached.items()
        }
        counts = {name: len(checkout.files()) for name, checkout in found.items()}
    assert counts == {"main": 10, "dev": 11, "second": 1}


def test_what_is_read_or_fetched_is_not_evicted(
    server: GitHttpServer, make_handler: MakeHandler, tmp_path: Path
) -> None:
    url = f"{server.url}/demo.git"
    cache = Cache(tmp_path / "home" / "repositories", limit=0)
    with stalled(server, make_handler, RepositoryRequest(url, "a" * 40)):
        [key] = [path.stem for path in (tmp_path / "home" / "repositories").glob("*.lock")]
        for evict in (cache.prune, cache.clear, lambda: cache.remove(key)):
            evict()
            assert (tmp_path / "home" / "repositories" / key / "objects").is_dir()
        with cache.entry(key, url) as one, cache.entry(key, url) as other:
            cache.clear()
            assert one.folder.is_dir() is other.folder.is_dir() is True
    cache.clear()
    assert list((tmp_path / "home" / "repositories").iterdir()) == []


def test_what_is_damaged_is_used_by_nobody_new_and_made_anew_by_the_first_who_can(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["main"])
    handler = make_handler(allowed=[server.url])
    with handler.checkout(request):
        pass
    repositories = tmp_path / "home" / "repositories"
    [key] = [path.stem for path in repositories.glob("*.lock")]
    shutil.rmtree(repositories / key / "objects")
    with Cache(repositories, limit=1 << 30).entry(key, request.url):
        for _ in range(2):
            with pytest.raises(Busy, match="is being rebuilt"):
                handler.checkout(request).__enter__()
    with handler.checkout(request) as checkout:
        assert len(checkout.files()) == 10
    assert server.fetches == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_fetch_that_is_interrupted_leaves_nothing_locked(
    number: signal.Signals,
    server: GitHttpServer,
    make_handler: MakeHandler,
    use_git: bool,
    origin: Origin,
    tmp_path: Path,
) -> None:
    url = f"{server.url}/demo.git"
    handler = make_handler(allowed=[server.url])
    with handler.checkout(RepositoryRequest(url, origin.commits["dev"])):
        pass
    server.stalled = True
    server.arrived.clear()
    process = many(tmp_path / "home", url, use_git, "1", "a" * 40)
    assert server.arrived.wait(SECONDS)
    with pytest.raises(Busy):
        handler.checkout(RepositoryRequest(url, origin.commits["main"])).__enter__()
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    for entry in (tmp_path / "home" / "repositories").glob("*/HEAD"):
        (entry.parent / "shallow.lock").touch()  # as git leaves it when it is killed in between
    server.stalled = False
    server.released.set()
    with handler.checkout(RepositoryRequest(url, origin.commits["main"])) as checkout:
        assert len(checkout.files()) == 10
    assert [path.name for path in (tmp_path / "home" / "checkouts").iterdir()] == []


class stalled:  # noqa: N801 -- used as a context manager
    """Within it a checkout is under way whose fetch the server does not answer."""

    def __init__(
        self, server: GitHttpServer, make_handler: MakeHandler, request: RepositoryRequest
    ) -> None:
        self._server = server
        self._handler = make_handler(allowed=[server.url])
        self._request = request
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> None:
        self._server.stalled = True
        self._server.arrived = threading.Event()
        self._checkout = self._pool.submit(self._check_out)
        assert self._server.arrived.wait(SECONDS)

    def __exit__(self, *_: object) -> None:
        self._server.released.set()
        assert self._checkout.result(SECONDS) is not None
        self._server.stalled = False
        self._pool.shutdown()

    def _check_out(self) -> Exception | None:
        try:
            self._handler.checkout(self._request).__enter__()
        except Exception as error:  # noqa: BLE001 -- that there is one is what counts
            return error
        return None
