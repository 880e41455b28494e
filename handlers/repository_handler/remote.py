"""A repository that the host allows, and the sentences for when it cannot be had."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from handlers.repository_handler.credentials import (
    Access,
    GitCredential,
    access_to,
)
from mlgate.orchestration.allowlist import (
    DEFAULT_PORTS,
    Address,
    parse_url,
    without_azure_user,
)
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.repositoryurls import refusal, repository_url_allowed, shown

SETTING = "MLGATE_ALLOWED_REPOSITORIES"


@dataclass(frozen=True, slots=True)
class Remote:
    """`url` in its canonical form, without a user but for ssh; or an absolute real path."""

    url: str
    scheme: str  # "https", "http", "ssh", "file"
    access: Access

    @property
    def key(self) -> str:
        """The name of its place in the cache."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:32]

    def redact(self, text: str) -> str:
        """`text` without a token that git, a server or a proxy may have put into it."""
        for secret in (self.access.token, self.access.authorization):
            if secret and secret.get_secret_value():
                value = secret.get_secret_value()
                text = text.replace(value, "***").replace(value.split(" ")[-1], "***")
        return re.sub(r"://[^/\s@]+@", "://***@", text) if self.scheme != "ssh" else text

    def unavailable(self, detail: str) -> Permanent:
        """Not there, or access refused: servers do not tell which."""
        return Permanent(
            f"The repository {self.url} was not found or access was refused "
            f"({self.redact(detail)}): check the address, and {self.access.remedy}."
        )

    def silent(self, detail: str) -> Temporary:
        return Temporary(f"The repository {self.url} does not answer ({self.redact(detail)}).", 15)

    def failed(self, detail: str) -> Permanent:
        return Permanent(f"The repository {self.url} cannot be read: {self.redact(detail)}.")


class Remotes:
    """Turns what a message names into a `Remote`, or refuses it."""

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

    def open(self, url: str, collection: str | None, token: SecretStr | None) -> Remote:
        """`Permanent` that names the setting when this host does not allow `url`."""
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
        canonical = _canonical(address)
        if address.scheme == "ssh":
            access = Access(None, "check this host's ssh key and known_hosts")
        else:
            access = access_to(
                canonical,
                collection=collection,
                token=token,
                credentials=self._credentials,
                host_identity=self._host_identity,
            )
        return Remote(canonical, address.scheme, access)

    def _open_path(self, url: str) -> Remote:
        # Compared as it really is: a link below an allowed folder may lead out of it.
        path = _resolved(url)
        if path is None or not any(path.is_relative_to(prefix) for prefix in self._paths):
            raise Permanent(
                f"The repository {shown(url)} is not allowed on this host: add its path, or a "
                f"folder above it, to {SETTING}."
            )
        return Remote(str(path), "file", Access(None, "check that this host may read it"))


def _resolved(path: str) -> Path | None:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, NUL
        return None


def _canonical(address: Address) -> str:
    """One spelling for each repository, so that it has one place in the cache."""
    user = f"{address.user}@" if address.user else ""
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = "" if address.port == DEFAULT_PORTS[address.scheme] else f":{address.port}"
    path = "/".join(quote(segment, safe="~!$&'()*+,;=:@") for segment in address.segments)
    return f"{address.scheme}://{user}{host}{port}/{path}"
