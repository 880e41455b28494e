"""Repositories that the host allows, and the errors for those that cannot be read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from handlers.repository_handler.azure_addresses import canonical_url, rest_address
from handlers.repository_handler.credentials import Access, GitCredential, accesses_to
from mlgate.orchestration.addresses.allowlist import parse_url, without_azure_user
from mlgate.orchestration.addresses.repository_urls import refusal, repository_url_allowed, shown
from mlgate.orchestration.errors import Permanent, Temporary

SETTING = "MLGATE_ALLOWED_REPOSITORIES"


class AccessRefused(Permanent):
    """The server refuses this credential or has no such repository; it doesn't say which."""

    def __init__(self, access: Access, detail: str) -> None:
        super().__init__(f"{access.who} was refused ({detail})")
        self.access = access
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that may be read.

    `url` is its canonical form, with a user only for ssh, or an absolute real path. `rest` is the
    repository's address in the REST API of Azure Repos, None for any other server.
    """

    url: str
    scheme: str  # "https", "http", "ssh", "file"
    rest: str | None
    accesses: Callable[[], Iterator[Access]]

    @property
    def key(self) -> str:
        return key_of(self.url)

    def remotes(self) -> Iterator[Remote]:
        """The repository with each credential of this host, in the order to try them.

        The host's identity is last. Getting it may raise, but only when it is reached.
        """
        for access in self.accesses():
            yield Remote(self.url, self.scheme, access, self.rest)

    def refused(self, refusals: Sequence[AccessRefused], *further: str) -> Permanent:
        """The error if no credential works; `further` says why others could not be tried."""
        begin = f"The repository {self.url} was not found or access was refused"
        if len(refusals) == 1 and not further:
            only = refusals[0]
            return Permanent(
                f"{begin} ({only.detail}): check the address, and {only.access.remedy}."
            )
        remedies = [
            f"For {refusal.access.who} ({refusal.detail}): {refusal.access.remedy}."
            for refusal in refusals
        ]
        return Permanent(" ".join((f"{begin}: check the address.", *remedies, *further)))

    def failed(self, detail: str) -> Permanent:
        return Permanent(f"The repository {self.url} cannot be read: {detail}.")


@dataclass(frozen=True, slots=True)
class Remote:
    """A `Repository` as one credential sees it."""

    url: str
    scheme: str
    access: Access
    rest: str | None = None

    @property
    def key(self) -> str:
        return key_of(self.url)

    @property
    def reader(self) -> str:
        """A digest of this repository and its credential."""
        secret = self.access.authorization
        credential = "" if secret is None else secret.get_secret_value()
        return hashlib.sha256(f"{self.url}\n{credential}".encode()).hexdigest()

    def redact(self, text: str) -> str:
        """`text` without tokens, which git, a server or a proxy may have put there."""
        for secret in (self.access.token, self.access.authorization):
            if secret and secret.get_secret_value():
                value = secret.get_secret_value()
                text = text.replace(value, "***").replace(value.split(" ")[-1], "***")
        return re.sub(r"://[^/\s@]+@", "://***@", text) if self.scheme != "ssh" else text

    def unavailable(self, detail: str) -> AccessRefused:
        """The repository does not exist or access was refused: servers don't say which."""
        return AccessRefused(self.access, self.redact(detail))

    def silent(self, detail: str) -> Temporary:
        return Temporary(f"The repository {self.url} does not answer ({self.redact(detail)}).", 15)

    def failed(self, detail: str) -> Permanent:
        return Permanent(f"The repository {self.url} cannot be read: {self.redact(detail)}.")


def key_of(url: str) -> str:
    """The name of a repository's folder in the cache."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


class Remotes:
    """Turns a message's URL into a `Repository`, or refuses it."""

    def __init__(
        self,
        allowed: Sequence[str],
        credentials: Sequence[GitCredential],
        host_identity: Callable[[], SecretStr] | None,
    ) -> None:
        self._urls = [prefix for prefix in allowed if not prefix.startswith("/")]
        self._paths = [Path(prefix).resolve() for prefix in allowed if prefix.startswith("/")]
        self._credentials = tuple(credentials)
        self._host_identity = host_identity

    def open(self, url: str, collection: str | None, token: SecretStr | None) -> Repository:
        """Raises `Permanent`, naming the setting, if this host does not allow `url`."""
        if url.startswith("/"):
            return self._open_path(url)
        refused = refusal(url)
        if refused is not None:
            raise Permanent(
                f"The repository {shown(url)} cannot be cloned. {refused.message} {refused.remedy}"
            )
        url = without_azure_user(url)
        if not repository_url_allowed(url, self._urls):
            raise Permanent(
                f"The repository {url} is not allowed on this host: add it, or a prefix of it, "
                f"to {SETTING}."
            )
        address = parse_url(url)
        assert address is not None
        canonical = canonical_url(address)
        if address.scheme == "ssh":
            key = Access("the host's ssh key", None, "check this host's ssh key and known_hosts")
            return Repository(canonical, address.scheme, None, lambda: iter((key,)))
        accesses = partial(
            accesses_to,
            canonical,
            collection=collection,
            token=token,
            credentials=self._credentials,
            host_identity=self._host_identity,
        )
        return Repository(canonical, address.scheme, rest_address(address, collection), accesses)

    def _open_path(self, url: str) -> Repository:
        # Links are resolved first: one below an allowed folder may lead out of it.
        path = _resolved(url)
        if path is None or not any(path.is_relative_to(prefix) for prefix in self._paths):
            raise Permanent(
                f"The repository {shown(url)} is not allowed on this host: add its path, or a "
                f"folder above it, to {SETTING}."
            )
        own = Access("this host", None, "check that this host may read it")
        return Repository(str(path), "file", None, lambda: iter((own,)))


def _resolved(path: str) -> Path | None:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError):  # too long, circular links, NUL
        return None
