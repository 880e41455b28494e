"""Which addresses are Azure Repos', and where their REST API shows the same repository."""

from __future__ import annotations

import pytest

from handlers.repository_handler.azure_addresses import rest_address
from mlgate.orchestration.addresses.allowlist import parse_url

ORG = "https://dev.azure.com/org"


@pytest.mark.parametrize(
    ("url", "collection", "rest"),
    [
        (f"{ORG}/p/_git/r", None, f"{ORG}/p/_apis/git/repositories/r"),
        (f"{ORG}/_git/r", None, f"{ORG}/r/_apis/git/repositories/r"),
        (f"{ORG}/My%20p/_git/r%20%23", None, f"{ORG}/My%20p/_apis/git/repositories/r%20%23"),
        (
            "https://org.visualstudio.com/p/_git/r",
            None,
            "https://org.visualstudio.com/p/_apis/git/repositories/r",
        ),
        (
            "https://org.visualstudio.com/_git/r",
            None,
            "https://org.visualstudio.com/r/_apis/git/repositories/r",
        ),
        (
            "https://org.visualstudio.com/DefaultCollection/p/_git/r",
            None,
            "https://org.visualstudio.com/DefaultCollection/p/_apis/git/repositories/r",
        ),
        (
            "https://tfs.corp:8443/tfs/Main/p/_git/r",
            "https://tfs.corp:8443/tfs/Main/",
            "https://tfs.corp:8443/tfs/Main/p/_apis/git/repositories/r",
        ),
        ("https://tfs.corp/tfs/Other/p/_git/r", "https://tfs.corp/tfs/Main/", None),
        ("https://tfs.corp/tfs/Main/p/_git/r", None, None),
        ("https://github.com/p/_git/r", f"{ORG}/", None),
        ("https://github.com/org/repo", f"{ORG}/", None),
        (f"{ORG}/p/_git", None, None),
        (f"{ORG}/p/_git/r/more", None, None),
        (f"{ORG}/p/q/_git/r", None, None),
        ("https://dev.azure.com/_git/r", None, None),
        ("https://dev.azure.com.evil.example/org/p/_git/r", f"{ORG}/", None),
    ],
)
def test_where_the_rest_api_shows_a_repository(
    url: str, collection: str | None, rest: str | None
) -> None:
    address = parse_url(url)
    assert address is not None
    assert rest_address(address, collection) == rest
