"""Which token goes where."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from handlers.repository_handler.credentials import GitCredential, accesses_to
from handlers.repository_handler.remote import Remotes

JOB, HOST, PAT, NARROW = (SecretStr(word) for word in ("job", "host", "pat", "narrow"))
CREDENTIALS = [
    GitCredential("https://github.com", PAT),
    GitCredential("https://github.com/org", NARROW),
    GitCredential("https://dev.azure.com/named", PAT),
]


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


AS_SENT = {
    "job": basic(":job"),
    "pat": basic("x-access-token:pat"),
    "narrow": basic("x-access-token:narrow"),
    "host": "Bearer host",
}


@pytest.mark.parametrize(
    ("url", "collection", "expected"),
    [
        ("https://dev.azure.com/org/p/_git/r", "https://dev.azure.com/org/", [JOB, HOST]),
        ("https://dev.azure.com/ORG/p/_git/r", "https://dev.azure.com/org", [JOB, HOST]),
        ("https://org.visualstudio.com/p/_git/r", "https://dev.azure.com/org/", [JOB, HOST]),
        ("https://dev.azure.com/org/p/_git/r", "https://org.visualstudio.com/", [JOB, HOST]),
        ("https://tfs.corp/tfs/Main/_git/r", "https://tfs.corp/tfs/Main/", [JOB]),
        ("https://dev.azure.com/other/p/_git/r", "https://dev.azure.com/org/", [HOST]),
        ("https://dev.azure.com/organization/_git/r", "https://dev.azure.com/org", [HOST]),
        ("https://other.visualstudio.com/p", "https://org.visualstudio.com/", [HOST]),
        ("https://dev.azure.com/org/p/_git/r", None, [HOST]),
        ("https://tfs.corp/tfs/Other/_git/r", "https://tfs.corp/tfs/Main/", [None]),
        ("https://github.com/x/y", "https://dev.azure.com/org/", [PAT]),
        ("https://github.com/org/y", None, [NARROW]),
        ("https://github.com/organization/y", None, [PAT]),
        ("https://dev.azure.com/named/p/_git/r", "https://dev.azure.com/named/", [JOB, PAT, HOST]),
        ("https://dev.azure.com/named/p/_git/r", None, [PAT, HOST]),
        ("https://dev.azure.com.evil.example/org", "https://dev.azure.com/org/", [None]),
        ("https://x.visualstudio.com.evil.example/org", "https://x.visualstudio.com/", [None]),
        ("https://dev.azure.com:8443/org/p", "https://dev.azure.com/org/", [None]),
        ("https://gitlab.com/x", "nonsense", [None]),
    ],
)
def test_which_tokens_open_what_and_in_which_order(
    url: str, collection: str | None, expected: list[SecretStr | None]
) -> None:
    found = list(
        accesses_to(
            url,
            collection=collection,
            token=JOB,
            credentials=CREDENTIALS,
            host_identity=lambda: HOST,
        )
    )
    assert [access.token for access in found] == expected
    shown = [access.authorization.get_secret_value() for access in found if access.authorization]
    assert shown == [AS_SENT[token.get_secret_value()] for token in expected if token]


def test_the_hosts_identity_is_asked_for_last_and_only_when_its_turn_comes() -> None:
    asked = list[str]()

    def identity() -> SecretStr:
        asked.append("identity")
        return HOST

    tried = accesses_to(
        "https://dev.azure.com/named/p/_git/r",
        collection="https://dev.azure.com/named",
        token=JOB,
        credentials=CREDENTIALS,
        host_identity=identity,
    )
    assert [next(tried).token, next(tried).token] == [JOB, PAT]
    assert asked == []
    assert next(tried).token == HOST


def test_without_an_identity_azure_repos_use_what_is_configured() -> None:
    found = accesses_to(
        "https://dev.azure.com/named/p/_git/r",
        collection=None,
        token=None,
        credentials=CREDENTIALS,
        host_identity=None,
    )
    assert [access.token for access in found] == [PAT]


def test_no_token_shows_in_a_repr() -> None:
    remotes = Remotes(["https://github.com"], CREDENTIALS, None)
    (remote,) = remotes.open("https://github.com/org/x", None, None).remotes()
    assert "narrow" not in repr(remote)
    assert remote.access.authorization is not None
    assert remote.access.authorization.get_secret_value().split()[1] not in repr(remote)


def test_what_git_says_is_shown_without_tokens() -> None:
    remotes = Remotes(["https://github.com"], CREDENTIALS, None)
    (remote,) = remotes.open("https://github.com/org/x", None, None).remotes()
    encoded = basic("x-access-token:narrow").split()[1]
    said = f"via https://user:pw@proxy:8080 with narrow, {encoded}"
    assert remote.redact(said) == "via https://***@proxy:8080 with ***, ***"


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        ("https://org@dev.azure.com/org/p/_git/r", "https://dev.azure.com/org/p/_git/r"),
        ("https://dev.azure.com/org/My%20p/_git/r/", "https://dev.azure.com/org/My%20p/_git/r"),
        ("HTTPS://DEV.azure.com:443/org/%70", "https://dev.azure.com/org/p"),
    ],
)
def test_one_repository_has_one_spelling(shown: str, meant: str) -> None:
    assert Remotes(["https://dev.azure.com/org"], (), None).open(shown, None, None).url == meant
