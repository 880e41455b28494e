"""Checks whether Azure DevOps can be reached, and which identities this host's tokens have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from handlers.devops_handler.answers import NotAuthorizedError, NotNowError, read_answer
from handlers.devops_handler.client import Bearer
from mlgate.orchestration.addresses.allowlist import parse_url
from mlgate.orchestration.checks import Examination, NotApplicable, Wrong

# The endpoint that the service's own clients use to find out which identity a token belongs to.
_CONNECTION = "_apis/connectionData"
_VERSION = "7.1-preview.1"
_TIMEOUT = 20.0  # seconds
_REACH = (
    "Allow this host to reach it (HTTPS_PROXY, REQUESTS_CA_BUNDLE, network rules), and check that "
    "MLGATE_ALLOWED_COLLECTIONS has its URL, such as https://dev.azure.com/ORGANIZATION/."
)
_MEMBER = (
    "Add the host's identity to the organization (Organization settings > Users, access level "
    "Basic) and to the project, or unset MLGATE_DEVOPS_IDENTITY."
)


def examinations(
    collections: Sequence[str],
    token: SecretStr | None,
    identity: Callable[[], SecretStr] | None,
) -> tuple[Examination, ...]:
    """`token` is the token of a job, whose pipeline is in the first of `collections`. `identity`
    returns the host's own token, if the host calls back with it."""

    def reach() -> str:
        if not collections:
            raise NotApplicable("MLGATE_ALLOWED_COLLECTIONS names no organization.")
        for url in collections:
            _identity_of(url, None)
        return f"{', '.join(collections)} can be reached."

    def job() -> str:
        if token is None:
            raise NotApplicable("No pipeline is waiting, so there is no job token to try.")
        who = _identity_of(collections[0], token)
        if who is None:
            raise Wrong(f"{collections[0]} does not accept the job's token.")
        return f"{collections[0]} accepts the job's token, which belongs to {who}."

    def host() -> str:
        if identity is None:
            raise NotApplicable("MLGATE_DEVOPS_IDENTITY is off: the host uses only job tokens.")
        secret = identity()
        for url in collections:
            who = _identity_of(url, secret)
            if who is None:
                raise Wrong(f"{url} does not know the host's identity (401, TF401444).")
        return f"The host's identity is known, as {who}."

    ended = "The job has ended or its token has expired. Run the step again."
    return (
        Examination("devops-collection", reach, _REACH),
        Examination("devops-job-token", job, ended, needs=("devops-collection",)),
        Examination("devops-identity", host, _MEMBER, needs=("devops-collection",)),
    )


def _identity_of(collection: str, token: SecretStr | None) -> str | None:
    """The name of the token's identity, or None if the token is not accepted.

    Raises `Wrong` if nothing answers.
    """
    url = f"{collection.rstrip('/')}/{_CONNECTION}"
    address = parse_url(url)
    try:
        answer = requests.get(
            url,
            params={"api-version": _VERSION},
            auth=Bearer(token) if token is not None else None,
            allow_redirects=False,
            timeout=_TIMEOUT,
            proxies={"http": "", "https": ""} if address is not None and address.loopback else None,
        )
    except (requests.RequestException, OSError) as error:
        # The cause is dropped: it holds the request, and so the token.
        raise Wrong(f"{collection} cannot be reached: {type(error).__name__}.") from None
    if answer.status_code == 404 and address is not None and not _is_host(url):
        raise Wrong(f"{collection} is not an organization or collection of Azure DevOps (404).")
    if answer.status_code == 404:
        return None  # the collection is a prefix of all organizations
    try:
        found = read_answer(
            answer.status_code,
            answer.headers,
            answer.content,
            asked=f"GET {_CONNECTION}",
            now=datetime.now(UTC),
        )
    except NotAuthorizedError:
        return None
    except NotNowError as error:
        raise Wrong(f"{collection} does not answer: {error}.") from None
    return _name(found)


def _name(found: Any) -> str:
    user = found.get("authenticatedUser") if isinstance(found, dict) else None
    name = user.get("providerDisplayName") if isinstance(user, dict) else None
    return str(name or "an unnamed identity")


def _is_host(url: str) -> bool:
    """Whether `url` names only the service, without an organization."""
    return urlsplit(url).path == f"/{_CONNECTION}"
