"""How servers refuse, stall, redirect and lie, and what becomes of the host's tokens."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.repository_handler import GitCredential
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary
from tests.contract.handlers.repository_handler.conftest import TOKEN, MakeHandler
from tests.contract.handlers.repository_handler.origins import Origin, git
from tests.servers.git_http import GitHttpServer, git_http_server
from tests.servers.git_ssh import GitSshServer

ENCODED = base64.b64encode(f":{TOKEN}".encode()).decode()


def commits_cached(home: Path) -> int:
    listed = git(
        next(home.glob("repositories/*/")),
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objecttype)",
    )
    return listed.split().count("commit")


def test_exactly_one_commit_is_fetched(
    server: GitHttpServer, make_handler: MakeHandler, tmp_path: Path
) -> None:
    handler = make_handler(allowed=[server.url])
    with handler.checkout(RepositoryRequest(f"{server.url}/demo.git", "dev")):
        assert commits_cached(tmp_path / "home") == 1


def test_a_commit_is_never_fetched_twice(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    handler = make_handler(allowed=[server.url])
    url = f"{server.url}/demo.git"
    for ref in ("v1", "light", origin.commits["second"], "refs/tags/v1"):
        with handler.checkout(RepositoryRequest(url, ref)) as checkout:
            assert checkout.files() == ("old.txt",)
    assert server.fetches == 1


def test_a_cached_sha_needs_no_network_while_the_server_has_answered_lately(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["main"])
    handler = make_handler(allowed=[server.url])
    with handler.checkout(request):
        server.requests.clear()
    with handler.checkout(request) as checkout:
        assert len(checkout.files()) == 10
    assert server.requests == []


def test_a_server_that_refuses_a_sha_is_asked_for_its_history(
    ssh_server: GitSshServer, make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    ssh_server.protocol_2 = False
    handler = make_handler(allowed=[ssh_server.url])
    request = RepositoryRequest(f"{ssh_server.url}/demo.git", origin.commits["first"])
    with handler.checkout(request) as checkout:
        assert checkout.files() == ("old.txt",)
        assert commits_cached(tmp_path / "home") > 1


def test_a_reachable_sha_is_had_from_an_old_web_server(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    server.protocol_2 = False
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["first"])
    with handler.checkout(request) as checkout:
        assert checkout.files() == ("old.txt",)


def test_a_lost_commit_is_told_when_the_server_refuses_it(
    ssh_server: GitSshServer, make_handler: MakeHandler, origin: Origin
) -> None:
    ssh_server.protocol_2 = False
    handler = make_handler(allowed=[ssh_server.url])
    request = RepositoryRequest(f"{ssh_server.url}/demo.git", origin.commits["dangling"])
    with pytest.raises(Permanent, match=r"is not in .*\(branches: dev, feature/x, main\)"):
        handler.checkout(request).__enter__()


def test_what_is_no_commit_is_told(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    tree = git(origin.path, "rev-parse", "main^{tree}")
    handler = make_handler(allowed=[server.url])
    with pytest.raises(Permanent, match="is not a commit"):
        handler.checkout(RepositoryRequest(f"{server.url}/demo.git", tree)).__enter__()


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_private_repository_without_the_right_token_is_told(
    server: GitHttpServer, make_handler: MakeHandler, token: str | None
) -> None:
    server.token = TOKEN
    credentials = [GitCredential(server.url, SecretStr(token))] if token else []
    handler = make_handler(allowed=[server.url], credentials=credentials)
    with pytest.raises(Permanent, match=r"access was refused.*MLGATE_GIT_CREDENTIALS") as refused:
        handler.checkout(RepositoryRequest(f"{server.url}/demo.git")).__enter__()
    assert "wrong" not in str(refused.value)


def test_the_jobs_token_opens_its_own_collection(
    server: GitHttpServer, make_handler: MakeHandler
) -> None:
    server.token = TOKEN
    handler = make_handler(
        allowed=[server.url], credentials=[GitCredential(server.url, SecretStr("another"))]
    )
    request = RepositoryRequest(f"{server.url}/demo.git")
    with handler.checkout(request, collection=f"{server.url}/", token=SecretStr(TOKEN)):
        pass
    assert set(server.authorizations) == {f"Basic {ENCODED}"}


def test_the_jobs_token_is_shown_to_nobody_else(
    server: GitHttpServer, make_handler: MakeHandler
) -> None:
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git")
    for collection in (f"{server.url}/other", "https://dev.azure.com/org", None):
        with handler.checkout(request, collection=collection, token=SecretStr(TOKEN)):
            pass
    assert set(server.authorizations) == {None}


def test_a_redirect_is_not_followed(
    server: GitHttpServer, make_handler: MakeHandler, origin: Origin
) -> None:
    handler = make_handler(
        allowed=[server.url], credentials=[GitCredential(server.url, SecretStr(TOKEN))]
    )
    with git_http_server(origin.path.parent) as other:
        server.redirect = other.url
        with pytest.raises(Permanent, match="redirects, and mlgate does not follow"):
            handler.checkout(RepositoryRequest(f"{server.url}/demo.git")).__enter__()
        assert other.requests == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again_later(
    server: GitHttpServer, make_handler: MakeHandler, status: int
) -> None:
    server.status = status
    handler = make_handler(allowed=[server.url])
    with pytest.raises(Temporary, match="does not answer"):
        handler.checkout(RepositoryRequest(f"{server.url}/demo.git")).__enter__()


def test_a_server_that_is_not_there_is_asked_again_later(
    origin: Origin, make_handler: MakeHandler
) -> None:
    with git_http_server(origin.path.parent) as gone:
        url = gone.url
    with pytest.raises(Temporary, match="does not answer"):
        make_handler(allowed=[url]).checkout(RepositoryRequest(f"{url}/demo.git")).__enter__()


def test_a_server_that_stalls_is_given_up(server: GitHttpServer, make_handler: MakeHandler) -> None:
    server.stalled = True
    handler = make_handler(allowed=[server.url], stall=1)
    with pytest.raises(Temporary, match="does not answer"):
        handler.checkout(RepositoryRequest(f"{server.url}/demo.git")).__enter__()


def test_a_checkout_that_takes_longer_than_it_may_is_not_tried_again(
    server: GitHttpServer, make_handler: MakeHandler
) -> None:
    server.stalled = True
    handler = make_handler(allowed=[server.url], timeout=1)
    with pytest.raises(Permanent, match=r"not finished after 0 minutes.*: keep large files out"):
        handler.checkout(RepositoryRequest(f"{server.url}/demo.git")).__enter__()


def test_a_web_site_is_no_git_server(make_handler: MakeHandler, tmp_path: Path) -> None:
    with git_http_server(tmp_path) as site:
        handler = make_handler(allowed=[site.url])
        with pytest.raises(Permanent, match="was not found or access was refused"):
            handler.checkout(RepositoryRequest(f"{site.url}/page")).__enter__()


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "a page": lambda _: b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "half": lambda content: content[: len(content) // 2],
    "null": lambda _: b"null",
    "a list": lambda _: b"[]",
    "nothing": lambda _: b"",
    "ten megabytes": lambda _: b"x" * (10 << 20),
    "a packet of no end": lambda _: b"fff0" + b"x" * 100,
    "packets of nothing": lambda _: b"0004" * 1000,
    "an end at once": lambda _: b"0000",
}


@pytest.mark.parametrize("first", [True, False], ids=["from the first", "once it has begun"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_what_is_no_answer_of_git_is_told_and_leaves_nothing_that_harms(
    answer: Callable[[bytes], bytes],
    first: bool,
    server: GitHttpServer,
    make_handler: MakeHandler,
    origin: Origin,
) -> None:
    """As its content type says it were git's."""
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git", origin.commits["main"])
    begun = [first]

    def says(content: bytes) -> bytes:
        said = answer(content) if begun[0] else content
        begun[0] = True
        return said

    server.says = says
    with pytest.raises((Temporary, Permanent)):
        handler.checkout(request).__enter__()
    server.says = None
    with handler.checkout(request) as checkout:
        assert len(checkout.files()) == 10


def test_an_unknown_ssh_host_is_refused_without_a_question(
    ssh_server: GitSshServer, make_handler: MakeHandler
) -> None:
    ssh_server.known_hosts.write_text("")
    handler = make_handler(allowed=[ssh_server.url])
    with pytest.raises(Permanent, match="ssh key and known_hosts"):
        handler.checkout(RepositoryRequest(f"{ssh_server.url}/demo.git")).__enter__()


def test_the_token_rests_nowhere_on_disk(
    server: GitHttpServer, make_handler: MakeHandler, tmp_path: Path
) -> None:
    server.token = TOKEN
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git")
    with handler.checkout(request, collection=server.url, token=SecretStr(TOKEN)):
        held = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert held
    assert not any(word.encode() in content for word in (TOKEN, ENCODED) for content in held)


def test_the_token_is_no_argument_of_any_process(
    server: GitHttpServer, make_handler: MakeHandler
) -> None:
    server.stalled = True
    handler = make_handler(allowed=[server.url])
    request = RepositoryRequest(f"{server.url}/demo.git")
    outcome: list[OrchestrationError] = []

    def check_out() -> None:
        try:
            handler.checkout(request, collection=server.url, token=SecretStr(TOKEN)).__enter__()
        except OrchestrationError as error:
            outcome.append(error)

    thread = threading.Thread(target=check_out)
    thread.start()
    try:
        assert server.arrived.wait(30)
        lines = list(command_lines())
    finally:
        server.released.set()
        thread.join(60)
    assert lines
    assert not any(word.encode() in line for word in (TOKEN, ENCODED) for line in lines)
    assert TOKEN not in repr(outcome[0])
    assert ENCODED not in repr(outcome[0])


def command_lines() -> Iterator[bytes]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes()
        except OSError:
            continue


@pytest.mark.parametrize(
    "url",
    [
        "{server}.evil.example/demo.git",
        "{server}/../demo.git",
        "https://github.com/org/repo",
        "file:///etc",
        "ext::sh -c touch% /tmp/x",
        "git@127.0.0.1:demo.git",
        "--upload-pack=touch x",
        "ssh://-oProxyCommand=x/demo.git",
        "demo.git",
        "",
    ],
)
def test_what_is_not_allowed_is_not_touched(
    server: GitHttpServer, make_handler: MakeHandler, url: str
) -> None:
    handler = make_handler(allowed=[server.url])
    with pytest.raises(Permanent, match=r"MLGATE_ALLOWED_REPOSITORIES|cannot be cloned"):
        handler.checkout(RepositoryRequest(url.format(server=server.url))).__enter__()
    assert server.requests == []


def test_a_refused_address_names_the_setting_and_hides_the_password(
    make_handler: MakeHandler,
) -> None:
    handler = make_handler(allowed=["https://github.com/org"])
    with pytest.raises(Permanent, match="MLGATE_ALLOWED_REPOSITORIES"):
        handler.checkout(RepositoryRequest("https://github.com/organization/x")).__enter__()
    with pytest.raises(Permanent) as refused:
        handler.checkout(RepositoryRequest("https://me:pa55@github.com/org/x")).__enter__()
    assert "pa55" not in str(refused.value)


def test_a_path_is_compared_as_it_really_is(
    make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(origin.path)
    handler = make_handler(allowed=[str(allowed)])
    for path in (allowed / "link", f"{allowed}/../allowed/link", f"{allowed}-not", origin.path):
        with pytest.raises(Permanent, match="MLGATE_ALLOWED_REPOSITORIES"):
            handler.checkout(RepositoryRequest(str(path))).__enter__()
