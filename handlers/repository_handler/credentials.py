"""Which token opens which repository, and where no token may go."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from mlgate.orchestration.allowlist import azure_organization, parse_url, url_allowed


@dataclass(frozen=True, slots=True)
class GitCredential:
    """`token` opens the repositories whose URL lies within `prefix`."""

    prefix: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Access:
    """The value of the `Authorization` header, and whom to ask when it does not open the door."""

    authorization: SecretStr | None
    remedy: str
    token: SecretStr | None = None


def access_to(
    url: str,
    *,
    collection: str | None,
    token: SecretStr | None,
    credentials: Sequence[GitCredential],
    host_identity: Callable[[], SecretStr] | None,
) -> Access:
    """How this host opens `url`, which is allowed and is https or loopback http.

    A job's token opens the Azure Repos of its own collection and is shown to nothing else. A token
    that the host names for a URL is meant for it, and goes before the host's identity.
    """
    address = parse_url(url)
    assert address is not None
    organization = azure_organization(address)
    if token and collection and _inside(url, organization, collection):
        return Access(
            _basic("", token), "give the project's build service read access to it", token
        )
    matching = [c for c in credentials if url_allowed(url, [c.prefix])]
    if matching:
        best = max(matching, key=lambda credential: len(credential.prefix))
        # GitHub's app tokens insist on this user; other services take any with a token.
        return Access(
            _basic("x-access-token", best.token),
            "check the token that MLGATE_GIT_CREDENTIALS names for it",
            best.token,
        )
    if organization and host_identity:
        secret = host_identity()
        bearer = SecretStr(f"Bearer {secret.get_secret_value()}")
        return Access(bearer, "give the host's identity read access to it", secret)
    return Access(None, "if it is private, name a token for it in MLGATE_GIT_CREDENTIALS")


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
