"""Whether Azure DevOps can be reached, and whom it takes this host's tokens for."""

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

# By which the service's own clients find out whom a token is of.
_WHO = "_apis/connectionData"
_VERSION = "7.1-preview.1"
_TIMEOUT = 20.0  # seconds
_REACH = (
    "Let this host through to it (HTTPS_PROXY, REQUESTS_CA_BUNDLE, network rules), and see that "
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
    """`token` is the job's, of a pipeline in the first of `collections`; `identity` gives the
    host's own where it calls back with it."""

    def reach() -> str:
        if not collections:
            raise NotApplicable("MLGATE_ALLOWED_COLLECTIONS names no organization.")
        for url in collections:
            _asked(url, None)
        return f"{', '.join(collections)} can be reached."

    def job() -> str:
        if token is None:
            raise NotApplicable("No pipeline asks: there is no job's token to try.")
        who = _asked(collections[0], token)
        if who is None:
            raise Wrong(f"{collections[0]} does not take the job's token.")
        return f"{collections[0]} takes the job's token, which is of {who}."

    def host() -> str:
        if identity is None:
            raise NotApplicable("MLGATE_DEVOPS_IDENTITY is off: the host calls as the job alone.")
        secret = identity()
        for url in collections:
            who = _asked(url, secret)
            if who is None:
                raise Wrong(f"{url} does not know the host's identity (401, TF401444).")
        return f"The host's identity is known, as {who}."

    ended = "The job has ended, or its token has expired: run the step again."
    return (
        Examination("devops-collection", reach, _REACH),
        Examination("devops-job-token", job, ended, needs=("devops-collection",)),
        Examination("devops-identity", host, _MEMBER, needs=("devops-collection",)),
    )


def _asked(collection: str, token: SecretStr | None) -> str | None:
    """Whom the token is of; None where it is not taken. Raises `Wrong` where nothing answers."""
    url = f"{collection.rstrip('/')}/{_WHO}"
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
        # Without the cause, which holds the request, and so the token.
        raise Wrong(f"{collection} cannot be reached: {type(error).__name__}.") from None
    if answer.status_code == 404 and address is not None and not _is_host(url):
        raise Wrong(f"{collection} is not an organization or collection of Azure DevOps (404).")
    if answer.status_code == 404:
        return None  # a prefix of all organizations
    try:
        found = read_answer(
            answer.status_code,
            answer.headers,
            answer.content,
            asked=f"GET {_WHO}",
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
    """Whether it names no organization, only the service."""
    return urlsplit(url).path == f"/{_WHO}"
