"""The history in the cache: how little of it is fetched, for whom, and what harms it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.repository_handler import RepositoryHandler, history
from handlers.repository_handler.locks import locked
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Busy, Permanent
from tests.contract.handlers.repository_handler.branching import LENGTH
from tests.contract.handlers.repository_handler.conftest import TOKEN, MakeHandler
from tests.contract.handlers.repository_handler.origins import Origin, commit, git, point
from tests.servers.git_http import GitHttpServer

LISTING = ["GET /demo.git/info/refs", "POST /demo.git/git-upload-pack"]


@pytest.fixture
def origin(long: Origin, tmp_path: Path) -> Origin:
    return long.copied(tmp_path / "origins" / "demo.git")


class Asking:
    """One handler, and what it has of the demo repository."""

    def __init__(self, handler: RepositoryHandler, server: GitHttpServer, origin: Origin) -> None:
        self.handler, self.server, self.origin = handler, server, origin
        self.request = RepositoryRequest(f"{server.url}/demo.git")

    def contains(self, name: str, branch: str = "main") -> bool:
        return self.handler.contains(self.request, self.origin.commits[name], branch)

    def push(self, name: str = "new") -> None:
        """One commit more on `main`."""
        tip = git(self.origin.path, "rev-parse", "refs/heads/main")
        self.origin.commits[name] = commit(self.origin.path, {name: b"1"}, tip)
        point(self.origin.path, "refs/heads/main", self.origin.commits[name])


@pytest.fixture
def asking(make_handler: MakeHandler, server: GitHttpServer, origin: Origin) -> Asking:
    return Asking(make_handler(allowed=[server.url]), server, origin)


def entry(home: Path) -> Path:
    [found] = (home / "repositories").glob("*-history/")
    return found


def objects(folder: Path) -> dict[str, int]:
    """How many there are of each kind."""
    form = "--batch-check=%(objecttype)"
    kinds = git(folder, "cat-file", "--batch-all-objects", form).split()
    return {kind: kinds.count(kind) for kind in set(kinds)}


def test_commits_alone_are_fetched_each_once(asking: Asking, tmp_path: Path) -> None:
    assert asking.contains("first")
    here = entry(tmp_path / "home")
    assert objects(here) == {"commit": LENGTH + 3}
    assert asking.server.fetches == 2
    packs = set(here.glob("objects/pack/*.pack"))
    asking.push()
    assert not asking.contains("topic")
    assert objects(here) == {"commit": LENGTH + 4}
    assert asking.server.fetches == 3
    [new] = set(here.glob("objects/pack/*.pack")) - packs
    assert new.stat().st_size < 1000


def test_what_is_known_costs_one_listing_and_a_tip_nothing_else(asking: Asking) -> None:
    assert asking.contains("main")
    assert asking.server.requests == LISTING
    assert not asking.contains("topic")
    fetched = asking.server.fetches
    for name in ("topic", "first", "side", "pull", "unknown"):
        asking.server.requests.clear()
        assert asking.contains(name) is (name in ("first", "side"))
        assert asking.server.requests == LISTING
    assert asking.server.fetches == fetched


def test_without_filters_no_more_comes_than_the_answer_needs(
    asking: Asking, tmp_path: Path
) -> None:
    asking.server.filters = False
    assert asking.contains("near")
    here = entry(tmp_path / "home")
    assert objects(here)["commit"] < 150
    assert asking.contains("middle")
    assert asking.contains("first")
    assert not asking.contains("topic")
    assert objects(here)["commit"] == LENGTH + 3
    asking.push()
    fetched = asking.server.fetches
    assert not asking.contains("topic")
    assert asking.server.fetches == fetched + 1


def test_a_shallow_checkout_of_the_same_commit_says_nothing_and_stays_as_it_is(
    asking: Asking, tmp_path: Path
) -> None:
    for name in ("main", "topic"):
        with asking.handler.checkout(
            RepositoryRequest(asking.request.url, asking.origin.commits[name])
        ):
            pass
    [checkouts] = (tmp_path / "home" / "repositories").glob("*/")
    before = objects(checkouts), (checkouts / "shallow").read_bytes()
    assert asking.contains("first")
    assert not asking.contains("topic")
    assert (objects(checkouts), (checkouts / "shallow").read_bytes()) == before
    fetched = asking.server.fetches
    with asking.handler.checkout(
        RepositoryRequest(asking.request.url, asking.origin.commits["main"])
    ) as tree:
        assert tree.files() == ("last",)
    assert asking.server.fetches == fetched


def test_a_cached_answer_is_given_to_its_readers_alone(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    server.token = TOKEN
    request = RepositoryRequest(f"{server.url}/demo.git")
    handler = make_handler(allowed=[server.url])

    def contains(token: str) -> bool:
        return handler.contains(
            request,
            origin.commits["first"],
            "main",
            collection=server.url,
            token=SecretStr(token),
        )

    assert contains(TOKEN)
    with pytest.raises(Permanent, match="access was refused") as refused:
        contains("another-token")
    assert "another-token" not in str(refused.value)
    server.token = "withdrawn"
    with pytest.raises(Permanent, match="access was refused"):
        contains(TOKEN)


def test_the_token_rests_nowhere_on_disk(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    server.token = TOKEN
    handler = make_handler(allowed=[server.url])
    assert handler.contains(
        RepositoryRequest(f"{server.url}/demo.git"),
        origin.commits["first"],
        "main",
        collection=server.url,
        token=SecretStr(TOKEN),
    )
    held = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    [encoded] = {(word or "").partition(" ")[2] for word in server.authorizations if word}
    assert not any(word.encode() in content for word in (TOKEN, encoded) for content in held)


@pytest.mark.parametrize("damage", ["missing", "truncated", "no shallow", "no pack of the old"])
def test_a_damaged_history_is_fetched_again_and_never_taken_for_a_short_one(
    asking: Asking, tmp_path: Path, damage: str
) -> None:
    asking.server.filters = damage != "no shallow"
    assert asking.contains("near")
    here = entry(tmp_path / "home")
    if damage == "no pack of the old":
        old = set(here.glob("objects/pack/*"))
        asking.push()
        assert asking.contains("near")
        for file in old:
            file.unlink()
    elif damage == "no shallow":
        (here / "shallow").unlink()
    else:
        for file in [file for file in (here / "objects").rglob("*") if file.is_file()]:
            file.chmod(0o600)
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            if damage == "missing":
                file.unlink()
    assert asking.contains("first")
    assert not asking.contains("topic")


def test_an_interrupted_fetch_is_not_taken_for_a_whole_one(asking: Asking, tmp_path: Path) -> None:
    """Its pack was there before it was known where its history ends."""
    asking.server.filters = False
    assert asking.contains("near")
    here = entry(tmp_path / "home")
    (here / "shallow").unlink()
    shutil.rmtree(here / "refs" / "mlgate")
    assert asking.contains("first")
    assert not asking.contains("topic")


def test_what_lies_in_the_cache_beside_the_commits_says_nothing(
    asking: Asking, tmp_path: Path
) -> None:
    assert not asking.contains("topic")
    here, commits = entry(tmp_path / "home"), asking.origin.commits
    (here / "info").mkdir(exist_ok=True)
    (here / "info" / "grafts").write_text(f"{commits['main']} {commits['near']}\n")
    forged = commit(here, {}, commits["near"])
    point(here, f"refs/replace/{commits['main']}", forged)
    assert asking.contains("side")
    assert not asking.contains("topic")


def test_a_commit_graph_that_is_wrong_says_nothing(asking: Asking, tmp_path: Path) -> None:
    assert not asking.contains("topic")
    here, commits = entry(tmp_path / "home"), asking.origin.commits
    forge_commit_graph(here, commits["main"], commits["first"])
    assert git(here, "rev-list", "--count", commits["main"]) == "2"
    assert asking.contains("side")
    assert not asking.contains("topic")


def forge_commit_graph(folder: Path, sha: str, parent: str) -> None:
    """Have it say that `parent` is the one of `sha`. Format: gitformat-commit-graph(5)."""
    git(folder, "commit-graph", "write", "--reachable")
    file = folder / "objects" / "info" / "commit-graph"
    content = bytearray(file.read_bytes())
    at = {
        bytes(content[place : place + 4]): int.from_bytes(content[place + 4 : place + 12], "big")
        for place in range(8, 8 + 12 * content[6], 12)
    }
    count = int.from_bytes(content[at[b"OIDF"] + 255 * 4 :][:4], "big")
    names = [content[at[b"OIDL"] + 20 * n :][:20].hex() for n in range(count)]
    record = at[b"CDAT"] + 36 * names.index(sha) + 20
    content[record : record + 4] = names.index(parent).to_bytes(4, "big")
    file.chmod(0o600)
    file.write_bytes(content)


def test_of_a_path_no_more_is_copied_than_commits(
    make_handler: MakeHandler, origin: Origin, use_git: bool, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[str(origin.path)])
    assert handler.contains(RepositoryRequest(str(origin.path)), origin.commits["first"], "main")
    copied = {"commit": LENGTH + 3} if use_git else {}
    assert objects(entry(tmp_path / "home")) == copied


def test_a_commit_of_a_pull_request_is_not_brought_to_be_denied(
    asking: Asking, tmp_path: Path
) -> None:
    for name in ("pull", "topic", "dangling"):
        assert not asking.contains(name)
    shas = git(
        entry(tmp_path / "home"), "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"
    )
    assert not any(asking.origin.commits[name] in shas for name in ("pull", "topic", "dangling"))


def test_one_at_a_time_fetches_and_others_read(
    asking: Asking, make_handler: MakeHandler, tmp_path: Path
) -> None:
    assert asking.contains("first")
    with locked(entry(tmp_path / "home").with_suffix(".fetch")) as mine:
        assert mine
        assert asking.contains("first")
        asking.push()
        with pytest.raises(Busy, match="is fetching on this host"):
            asking.contains("first")
    assert asking.contains("first")


def test_a_history_of_many_fetches_begins_anew(
    asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_MOST_PACKS", 3)
    packs = []
    for number in range(4):
        assert asking.contains("first")
        packs.append(len(list(entry(tmp_path / "home").glob("objects/pack/*.pack"))))
        asking.push(f"new-{number}")
    assert packs == [2, 3, 4, 2]


def test_the_cache_keeps_its_bytes(
    make_handler: MakeHandler, server: GitHttpServer, origin: Origin, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[server.url], cache_bytes=0)
    request = RepositoryRequest(f"{server.url}/demo.git")
    for name in ("first", "topic"):
        there = handler.contains(request, origin.commits[name], "main")
        assert there is (name == "first")
        assert list((tmp_path / "home" / "repositories").iterdir()) == []
    assert list((tmp_path / "home" / "checkouts").iterdir()) == []


@pytest.mark.parametrize("where", ["server", "path"])
def test_both_programs_share_one_history(
    make_handler: MakeHandler, server: GitHttpServer, origin: Origin, use_git: bool, where: str
) -> None:
    url = f"{server.url}/demo.git" if where == "server" else str(origin.path)
    request = RepositoryRequest(url)
    for git_program in (use_git, not use_git):
        handler = make_handler(allowed=[server.url, str(origin.path)], use_git=git_program)
        assert handler.contains(request, origin.commits["first"], "main")
        assert not handler.contains(request, origin.commits["topic"], "main")
    assert server.fetches == (2 if where == "server" else 0)
