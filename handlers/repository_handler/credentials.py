"""Chooses the tokens for a repository and their order, and keeps tokens away from other servers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from mlgate.orchestration.addresses.allowlist import azure_organization, parse_url, url_allowed

# Azure DevOps limits a job's token to the repositories that the job names, unless the project
# lifts "Protect access to repositories in YAML pipelines" (MicrosoftDocs/azure-devops-docs,
# docs/pipelines/process/access-tokens.md).
_JOB_REMEDY = (
    "name the repository under `uses: repositories` in the job that publishes the message, because "
    "its token can only read what a `checkout` or `uses` of that job names; or name a token for it "
    "in MLGATE_GIT_CREDENTIALS; or give the project's build service read access to it"
)
_IDENTITY_REMEDY = (
    "add the host's identity to the organization (Organization settings > Users, access level "
    "Basic), and to the project (Readers)"
)


@dataclass(frozen=True, slots=True)
class GitCredential:
    """A `token` for the repositories whose URL lies within `prefix`."""

    prefix: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Access:
    """The value of the `Authorization` header, and what to do if a server refuses it.

    `who` names the credential in messages, which never show the value.
    """

    who: str
    authorization: SecretStr | None
    remedy: str
    token: SecretStr | None = None


def accesses_to(
    url: str,
    *,
    collection: str | None,
    token: SecretStr | None,
    credentials: Sequence[GitCredential],
    host_identity: Callable[[], SecretStr] | None,
) -> Iterator[Access]:
    """The credentials for `url` in order; it must be allowed, and https or loopback http.

    A job's token is sent only to the Azure Repos of its own collection. A token that the host names
    for a URL comes before the host's identity. `host_identity` is called only after the others were
    tried; what it raises is passed on.
    """
    address = parse_url(url)
    assert address is not None
    organization = azure_organization(address)
    matching = [c for c in credentials if url_allowed(url, [c.prefix])]
    own = bool(collection) and _inside(url, organization, str(collection))
    if own and token:
        yield Access("the job's token", _basic("", token), _JOB_REMEDY, token)
    if matching:
        best = max(matching, key=lambda credential: len(credential.prefix))
        # GitHub's app tokens require this user; other services accept any user with a token.
        yield Access(
            "the token of MLGATE_GIT_CREDENTIALS",
            _basic("x-access-token", best.token),
            "check the token that MLGATE_GIT_CREDENTIALS names for it",
            best.token,
        )
    if organization and host_identity:
        secret = host_identity()
        bearer = SecretStr(f"Bearer {secret.get_secret_value()}")
        yield Access("the host's identity", bearer, _IDENTITY_REMEDY, secret)
    elif not (own and token) and not matching:
        yield Access(
            "a host without a token",
            None,
            "if it is private, name a token for it in MLGATE_GIT_CREDENTIALS",
        )


def _inside(url: str, organization: str | None, collection: str) -> bool:
    address = parse_url(collection)
    if address is None:
        return False
    if organization and organization == azure_organization(address):
        return True
    return url_allowed(url, [collection])


def _basic(user: str, token: SecretStr) -> SecretStr:
    pair = f"{user}:{token.get_secret_value()}".encode()
    return SecretStr(f"Basic {base64.b64encode(pair).decode()}")
