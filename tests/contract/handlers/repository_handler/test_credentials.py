"""A host's credentials for one repository, tried in turn against Azure Repos' own address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.repository_handler import GitCredential, RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from tests.contract.handlers.repository_handler.conftest import MakeHandler
from tests.contract.handlers.repository_handler.origins import Content, Origin, bare, commit, point
from tests.servers.azure_repos import AzureReposServer, Tokens
from tests.servers.azure_repos_at_home import azure_repos_at_home

COLLECTION = "https://dev.azure.com/contoso/"
URL = f"{COLLECTION}flowers/_git/demo"
JOB, PAT, HOST = SecretStr("token-of-the-job"), SecretStr("a-pat"), SecretStr("token-of-the-host")
CREDENTIALS = [GitCredential(COLLECTION, PAT)]


@pytest.fixture
def service(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureReposServer]:
    """At dev.azure.com; nobody is let in."""
    (tmp_path / "tls").mkdir()
    with azure_repos_at_home(origin.path.parent, tmp_path / "tls", monkeypatch) as running:
        running.tokens = Tokens()
        yield running


@pytest.fixture(params=[401, 404, 203, 302])
def refusing(request: pytest.FixtureRequest, service: AzureReposServer) -> AzureReposServer:
    """Refuses the job's token in this way."""
    assert service.tokens is not None
    if request.param == 404:
        service.tokens.basic[JOB.get_secret_value()] = {"another"}
    else:
        service.refusal = request.param
    return service


def grant(service: AzureReposServer, token: SecretStr, *names: str) -> None:
    assert service.tokens is not None
    known = service.tokens.bearer if token is HOST else service.tokens.basic
    known[token.get_secret_value()] = set(names) if names else None


def check_out(handler: RepositoryHandler, url: str = URL, submodules: bool = False) -> int:
    request = RepositoryRequest(url, submodules=submodules)
    with handler.checkout(request, collection=COLLECTION, token=JOB) as checkout:
        return len(checkout.files())


def shown(service: AzureReposServer) -> list[str]:
    """Whose tokens were sent, in their order."""
    schemes = [str(header).partition(" ")[0] for header in service.authorizations]
    return list(dict.fromkeys(schemes))


def test_a_refused_jobs_token_is_followed_by_the_named_one(
    refusing: AzureReposServer, make_handler: MakeHandler
) -> None:
    grant(refusing, PAT)
    grant(refusing, HOST)
    handler = make_handler(
        allowed=[COLLECTION], credentials=CREDENTIALS, host_identity=lambda: HOST
    )
    assert check_out(handler) == 10
    assert shown(refusing) == ["Basic"]


def test_a_refused_jobs_token_is_followed_by_the_hosts_identity(
    refusing: AzureReposServer, make_handler: MakeHandler
) -> None:
    grant(refusing, HOST)
    handler = make_handler(
        allowed=[COLLECTION], credentials=CREDENTIALS, host_identity=lambda: HOST
    )
    assert check_out(handler) == 10
    assert shown(refusing) == ["Basic", "Bearer"]


def test_a_jobs_token_that_is_let_in_is_the_only_one(
    service: AzureReposServer, make_handler: MakeHandler
) -> None:
    grant(service, JOB, "demo")

    def identity() -> SecretStr:
        raise AssertionError

    handler = make_handler(allowed=[COLLECTION], credentials=CREDENTIALS, host_identity=identity)
    assert check_out(handler) == 10


def test_when_all_are_refused_each_has_its_remedy_the_pipelines_first(
    refusing: AzureReposServer, make_handler: MakeHandler, use_git: bool
) -> None:
    assert refusing.tokens is not None
    refusing.tokens.strangers.add(HOST.get_secret_value())
    handler = make_handler(
        allowed=[COLLECTION], credentials=CREDENTIALS, host_identity=lambda: HOST
    )
    with pytest.raises(Permanent) as refused:
        check_out(handler)
    said = str(refused.value)
    order = (
        f"The repository {URL} was not found or access was refused",
        "check the address",
        "the job's token (",
        "`uses: repositories`",
        "MLGATE_GIT_CREDENTIALS",
        "build service",
        "the token of MLGATE_GIT_CREDENTIALS (",
        f"the host's identity (HTTP 401{'' if use_git else ': TF401444'}",
        "Organization settings > Users",
        "access level Basic",
        "to the project",
    )
    places = [said.find(words) for words in order]
    assert -1 not in places, said
    assert places == sorted(places), said
    assert not any(token.get_secret_value() in said for token in (JOB, PAT, HOST))


def test_a_host_without_an_identity_still_has_the_jobs_remedy(
    refusing: AzureReposServer, make_handler: MakeHandler
) -> None:
    def identity() -> SecretStr:
        raise UnfitHost("The host has no identity that Azure DevOps takes.")

    handler = make_handler(allowed=[COLLECTION], host_identity=identity)
    with pytest.raises(Permanent, match=r"uses: repositories.* no identity that Azure DevOps"):
        check_out(handler)
    with pytest.raises(UnfitHost):
        handler.checkout(RepositoryRequest(URL)).__enter__()


def test_an_identity_service_that_does_not_answer_is_asked_again_later(
    refusing: AzureReposServer, make_handler: MakeHandler
) -> None:
    def identity() -> SecretStr:
        raise Temporary("The host's identity service does not answer.")

    with pytest.raises(Temporary):
        check_out(make_handler(allowed=[COLLECTION], host_identity=identity))


def test_what_one_credential_brought_is_served_to_no_build_that_has_none(
    service: AzureReposServer, make_handler: MakeHandler, origin: Origin
) -> None:
    grant(service, HOST)
    with_identity = make_handler(allowed=[COLLECTION], host_identity=lambda: HOST)
    without = make_handler(allowed=[COLLECTION])
    for ref in ("main", origin.commits["main"]):
        request = RepositoryRequest(URL, ref)
        with with_identity.checkout(request, collection=COLLECTION, token=JOB) as checkout:
            assert len(checkout.files()) == 10
        with pytest.raises(Permanent, match="access was refused"):
            without.checkout(request, collection=COLLECTION, token=JOB).__enter__()


def test_a_credential_that_worked_is_not_asked_again_for_what_is_cached(
    service: AzureReposServer, make_handler: MakeHandler, origin: Origin
) -> None:
    grant(service, HOST)
    handler = make_handler(allowed=[COLLECTION], host_identity=lambda: HOST)
    request = RepositoryRequest(URL, origin.commits["main"])
    for bearers in (True, False):
        service.authorizations.clear()
        with handler.checkout(request, collection=COLLECTION, token=JOB) as checkout:
            assert len(checkout.files()) == 10
        assert ("Bearer" in shown(service)) is bearers


def test_each_submodule_is_opened_by_the_first_credential_that_does(
    tmp_path: Path, service: AzureReposServer, make_handler: MakeHandler, use_git: bool
) -> None:
    if not use_git:
        pytest.skip("submodules need the git program")
    service.root = tmp_path / "two"
    inner, outer = (bare(service.root / name) for name in ("inner.git", "outer.git"))
    sha = publish(inner, {"lib.py": b"x"})
    modules = b'[submodule "i"]\n\tpath = lib\n\turl = ../inner\n'
    publish(outer, {".gitmodules": modules, "lib": (0o160000, sha.encode()), "a.py": b"a"})
    grant(service, JOB, "outer")
    grant(service, HOST, "inner")
    handler = make_handler(allowed=[COLLECTION], host_identity=lambda: HOST)
    assert check_out(handler, f"{COLLECTION}flowers/_git/outer", submodules=True) == 3


def publish(path: Path, files: dict[str, Content]) -> str:
    sha = commit(path, files)
    point(path, "refs/heads/main", sha)
    return sha


@pytest.mark.parametrize(
    "identity", [None, lambda: HOST], ids=["without an identity", "with an identity"]
)
def test_no_credential_goes_to_another_host(
    azure: AzureReposServer, make_handler: MakeHandler, identity: Callable[[], SecretStr] | None
) -> None:
    """Though its paths are those of Azure Repos."""
    handler = make_handler(allowed=[azure.url], credentials=CREDENTIALS, host_identity=identity)
    assert check_out(handler, f"{azure.url}/contoso/flowers/_git/demo") == 10
    assert set(azure.authorizations) == {None}
