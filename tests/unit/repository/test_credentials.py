"""Which token goes where."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from handlers.repository_handler.credentials import GitCredential, access_to
from handlers.repository_handler.remote import Remotes

JOB, HOST, PAT, NARROW = (SecretStr(word) for word in ("job", "host", "pat", "narrow"))
CREDENTIALS = [
    GitCredential("https://github.com", PAT),
    GitCredential("https://github.com/org", NARROW),
    GitCredential("https://dev.azure.com/configured", PAT),
]


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("url", "collection", "expected"),
    [
        ("https://dev.azure.com/org/p/_git/r", "https://dev.azure.com/org/", basic(":job")),
        ("https://dev.azure.com/ORG/p/_git/r", "https://dev.azure.com/org", basic(":job")),
        ("https://org.visualstudio.com/p/_git/r", "https://dev.azure.com/org/", basic(":job")),
        ("https://dev.azure.com/org/p/_git/r", "https://org.visualstudio.com/", basic(":job")),
        ("https://tfs.corp/tfs/Main/_git/r", "https://tfs.corp/tfs/Main/", basic(":job")),
        ("https://dev.azure.com/other/p/_git/r", "https://dev.azure.com/org/", "Bearer host"),
        ("https://dev.azure.com/organization/_git/r", "https://dev.azure.com/org", "Bearer host"),
        ("https://other.visualstudio.com/p", "https://org.visualstudio.com/", "Bearer host"),
        ("https://dev.azure.com/org/p/_git/r", None, "Bearer host"),
        ("https://tfs.corp/tfs/Other/_git/r", "https://tfs.corp/tfs/Main/", None),
        ("https://github.com/x/y", "https://dev.azure.com/org/", basic("x-access-token:pat")),
        ("https://github.com/org/y", None, basic("x-access-token:narrow")),
        ("https://github.com/organization/y", None, basic("x-access-token:pat")),
        ("https://dev.azure.com.evil.example/org", "https://dev.azure.com/org/", None),
        ("https://x.visualstudio.com.evil.example/org", "https://x.visualstudio.com/", None),
        ("https://dev.azure.com:8443/org/p", "https://dev.azure.com/org/", None),
        ("https://gitlab.com/x", "nonsense", None),
    ],
)
def test_which_token_opens_what(url: str, collection: str | None, expected: str | None) -> None:
    access = access_to(
        url,
        collection=collection,
        token=JOB,
        credentials=CREDENTIALS,
        host_identity=lambda: HOST,
    )
    found = access.authorization.get_secret_value() if access.authorization else None
    assert found == expected


def test_without_an_identity_azure_repos_use_what_is_configured() -> None:
    access = access_to(
        "https://dev.azure.com/configured/p/_git/r",
        collection=None,
        token=None,
        credentials=CREDENTIALS,
        host_identity=None,
    )
    assert access.token == PAT


def test_no_token_shows_in_a_repr() -> None:
    remotes = Remotes(["https://github.com"], CREDENTIALS, None)
    remote = remotes.open("https://github.com/org/x", None, None)
    assert "narrow" not in repr(remote)
    assert remote.access.authorization is not None
    assert remote.access.authorization.get_secret_value().split()[1] not in repr(remote)


def test_what_git_says_is_shown_without_tokens() -> None:
    remotes = Remotes(["https://github.com"], CREDENTIALS, None)
    remote = remotes.open("https://github.com/org/x", None, None)
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
