"""What is on a branch: asked of every kind of server, with git, with dulwich and through REST."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent, Temporary
from tests.contract.handlers.repository_handler.branching import on_main
from tests.contract.handlers.repository_handler.conftest import TOKEN, MakeHandler, OfJob, Place
from tests.contract.handlers.repository_handler.origins import Origin, commit, git, point
from tests.servers.azure_repos import AzureReposServer
from tests.servers.git_http import GitHttpServer
from tests.servers.git_ssh import GitSshServer


@pytest.fixture
def origin(long: Origin, tmp_path: Path) -> Origin:
    return long.copied(tmp_path / "origins" / "demo.git")


def test_the_tip_and_its_ancestors_are_on_a_branch_and_nothing_else_is(
    place: Place, origin: Origin
) -> None:
    request = RepositoryRequest(place.url, "topic")  # which says nothing

    def said(branch: str, *names: str) -> dict[str, bool]:
        return {
            name: place.handler.contains(request, origin.commits[name], branch) for name in names
        }

    assert said("main", *origin.commits) == on_main(origin)
    assert said("release/1.x", "first", "main") == {"first": True, "main": False}
    assert said("other", "other", "first") == {"other": True, "first": False}
    assert place.handler.contains(request, origin.commits["first"].upper(), "main")


def test_the_branch_is_as_the_server_has_it_now(place: Place, origin: Origin) -> None:
    request, commits = RepositoryRequest(place.url), origin.commits

    def said() -> list[bool]:
        return [
            place.handler.contains(request, commits[name], "main")
            for name in ("first", "main", "topic")
        ]

    assert said() == [True, True, False]
    point(origin.path, "refs/heads/main", commits["topic"])  # by force
    assert said() == [True, False, True]
    new = commit(origin.path, {"new": b"1"}, commits["topic"])
    point(origin.path, "refs/heads/main", new)
    assert place.handler.contains(request, new, "main")
    assert said() == [True, False, True]
    point(origin.path, "refs/heads/main", commits["other"])  # nothing in common
    assert said() == [False, False, False]


@pytest.mark.parametrize("branch", ["gone", "release", "ghost", "heads/main", "refs/heads/main"])
def test_a_branch_that_is_not_there_is_told_with_those_that_are(
    place: Place, origin: Origin, branch: str
) -> None:
    words = (
        rf"The branch '{branch}' is not in .*\(branches: main, other, release/1\.x, topic\)"
        ".*MLGATE_ALLOWED_MODELS"
    )
    with pytest.raises(Permanent, match=words):
        place.handler.contains(RepositoryRequest(place.url), origin.commits["main"], branch)


def test_what_no_branch_can_be_called_is_not_asked_for(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git")
    for branch in (
        "",
        "-h",
        "--upload-pack=x",
        "ma*",
        "main:x",
        "main\n",
        "../main",
        "\ud800",
    ):
        with pytest.raises(Permanent, match="not a valid name in git"):
            handler.contains(request, origin.commits["main"], branch)
    for commit_of in ("main", origin.commits["main"][:12], "--all", ""):
        with pytest.raises(Permanent, match="not the full SHA"):
            handler.contains(request, commit_of, "main")
    assert server.requests == []


def test_a_repository_that_is_not_allowed_is_not_touched(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    handler = make_handler(allowed=[f"{server.url}/else"])
    with pytest.raises(Permanent, match="MLGATE_ALLOWED_REPOSITORIES"):
        handler.contains(
            RepositoryRequest(f"{server.url}/demo.git"), origin.commits["main"], "main"
        )
    assert server.requests == []


@pytest.mark.parametrize("filters", [True, False], ids=["filters", "no filters"])
@pytest.mark.parametrize("protocol_2", [True, False], ids=["protocol 2", "protocol 0"])
@pytest.mark.parametrize("transport", ["http", "ssh"])
def test_every_server_of_git_is_understood(
    request: pytest.FixtureRequest,
    make_handler: MakeHandler,
    origin: Origin,
    transport: str,
    protocol_2: bool,
    filters: bool,
) -> None:
    name = {"http": "server", "ssh": "ssh_server"}[transport]
    running: GitHttpServer | GitSshServer = request.getfixturevalue(name)
    running.protocol_2, running.filters = protocol_2, filters
    handler = make_handler(allowed=[running.url])
    wanted = RepositoryRequest(f"{running.url}/demo.git")
    for _ in range(2):
        for commit_name, there in (("near", True), ("first", True), ("topic", False)):
            assert handler.contains(wanted, origin.commits[commit_name], "main") is there
        new = commit(origin.path, {"new": b"1"}, git(origin.path, "rev-parse", "refs/heads/main"))
        point(origin.path, "refs/heads/main", new)


@pytest.mark.parametrize("place", ["http", "ssh", "path"], indirect=True)
def test_a_server_that_has_a_part_of_its_history_proves_what_is_in_it_and_denies_nothing(
    place: Place, origin: Origin
) -> None:
    """As a clone of a build agent, which often fetches a single commit."""
    (origin.path / "shallow").write_text(f"{origin.commits['middle']}\n")
    request = RepositoryRequest(place.url)
    for name in ("main", "side", "near", "middle"):
        assert place.handler.contains(request, origin.commits[name], "main")
    for name in ("first", "topic", "unknown"):
        with pytest.raises(Permanent, match=r"is shallow, .*--unshallow"):
            place.handler.contains(request, origin.commits[name], "main")


@pytest.mark.parametrize("place", ["http", "ssh", "path"], indirect=True)
def test_what_stands_in_for_a_commit_there_does_not_count(place: Place, origin: Origin) -> None:
    """git shows a replacement, or other parents, to whoever asks it there."""
    commits = origin.commits
    forged = commit(origin.path, {"last": b"1"}, commits["topic"])
    git(origin.path, "replace", commits["main"], forged)
    (origin.path / "info").mkdir(exist_ok=True)
    (origin.path / "info" / "grafts").write_text(
        f"{commits['main']} {commits['merged']} {commits['topic']}\n"
    )
    assert git(origin.path, "rev-list", "main").count(commits["topic"]) == 1
    request = RepositoryRequest(place.url)
    assert place.handler.contains(request, commits["first"], "main")
    assert not place.handler.contains(request, commits["topic"], "main")


@pytest.mark.parametrize(("status", "kind"), [(401, Permanent), (403, Permanent), (503, Temporary)])
def test_a_server_that_refuses_or_is_in_trouble_is_told_as_in_a_checkout(
    azure: AzureReposServer,
    server: GitHttpServer,
    make_handler: MakeHandler,
    origin: Origin,
    status: int,
    kind: type[Exception],
) -> None:
    server.status = azure.git_status = status
    words = "access was refused" if kind is Permanent else "does not answer"
    handler = make_handler(allowed=[server.url, azure.url])
    job = OfJob(handler, f"{azure.url}/contoso")
    with pytest.raises(kind, match=words):
        handler.contains(
            RepositoryRequest(f"{server.url}/demo.git"), origin.commits["first"], "main"
        )
    with pytest.raises(kind, match=words) as refused:
        job.contains(
            RepositoryRequest(f"{azure.url}/contoso/flowers/_git/demo"),
            origin.commits["first"],
            "main",
        )
    assert TOKEN not in str(refused.value)


def test_a_server_that_stalls_is_given_up(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    server.stalled = True
    request = RepositoryRequest(f"{server.url}/demo.git")
    with pytest.raises(Temporary, match="does not answer"):
        make_handler(allowed=[server.url], stall=1).contains(
            request, origin.commits["first"], "main"
        )
    with pytest.raises(Permanent, match=r"history of .* after 0 minutes.*uploadpack\.allowFilter"):
        make_handler(allowed=[server.url], timeout=1).contains(
            request, origin.commits["first"], "main"
        )


def test_the_walk_through_a_long_history_ends_in_time(
    make_handler: MakeHandler, origin: Origin
) -> None:
    handler = make_handler(allowed=[str(origin.path)], timeout=0)
    with pytest.raises(Permanent, match=r"history of .* was not fetched after 0 minutes"):
        handler.contains(RepositoryRequest(str(origin.path)), origin.commits["first"], "main")
