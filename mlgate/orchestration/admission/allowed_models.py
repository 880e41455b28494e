"""Which repositories may change which models: `MLGATE_ALLOWED_MODELS`, and what it refuses.

An entry is `model=prefix[@branch]`. The branch begins behind the `@` of the prefix's path: one in
front of that names a user of the host, as in `ssh://git@host/path`. A second one in the path could
be read in two ways, so it is an error; one that belongs to the path of a URL is written `%40`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Self

from mlgate.orchestration.addresses.allowlist import (
    path_allowed,
    url_allowed,
    without_azure_user,
)
from mlgate.orchestration.addresses.branches import is_branch_name
from mlgate.orchestration.addresses.repository_urls import repository_url_allowed
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import Code, finding
from mlgate.orchestration.models import is_name

SETTING = "MLGATE_ALLOWED_MODELS"
SERVICES = "MLGATE_SERVICES"

_SERVER = re.compile("[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


class AnyBranch(Enum):
    """Instead of the names of branches: the commit may be of none of them."""

    ANY = "any"


ANY: Final = AnyBranch.ANY
Branches = frozenset[str] | Literal[AnyBranch.ANY]


@dataclass(frozen=True, slots=True)
class AllowedModel:
    """Repositories that may change a model; `model` None: every one, `branch` None: any commit."""

    model: str | None
    prefix: str
    branch: str | None = None

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Raises ValueError, which says what is wrong and repeats nothing: it may be a secret."""
        model, separator, rest = entry.partition("=")
        if not separator or not is_name(model):
            raise ValueError("does not begin with a model's name and =")
        server = _SERVER.match(rest)
        begin = server.end() if server else 0
        if server is None and not rest.startswith("/"):
            raise ValueError("names no repository: its prefix is neither a URL nor absolute")
        path, at, branch = rest[begin:].partition("@")
        if "@" in branch:
            raise ValueError(
                "has more than one @ behind the host, and the branch begins at the only one; "
                "write %40 for one that belongs to the URL"
            )
        prefix = rest[:begin] + path
        if server is not None and not repository_url_allowed(prefix, [prefix]):
            raise ValueError("can match no repository")
        name = branch.removeprefix("refs/heads/")
        if at and (not is_branch_name(name) or name.startswith("refs/")):
            raise ValueError("names no branch behind its @")
        return cls(model, prefix, name if at else None)

    def matches(self, model: str, url: str) -> bool:
        if self.model not in (None, model):
            return False
        if url.startswith("/"):
            return path_allowed(url, [self.prefix])
        return repository_url_allowed(url, [self.prefix])


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """The entries of a host; `keep`: how many of the last promoted versions keep their files.

    `services` are the prefixes of the servers that may be sent requests; None: every one.
    `register`: every version is also registered with the backend, whatever its message says.
    """

    allowed: tuple[AllowedModel, ...] = ()
    keep: int = 10
    services: tuple[str, ...] | None = ()
    register: bool = False

    def names(self, model: str) -> bool:
        """Whether any repository may change the model."""
        return any(each.model in (None, model) for each in self.allowed)

    def branches(self, model: str, url: str) -> Branches | None:
        """The branches of the repository: one of them must contain a build's commit for the build
        to change the model. None: it may not, whatever its commit."""
        found = [each.branch for each in self.allowed if each.matches(model, url)]
        if not found:
            return None
        named = frozenset(branch for branch in found if branch is not None)
        return named if None not in found else ANY

    def refusal(self, model: str, url: str | None, where: str) -> Finding | None:
        """Why a build of that repository, or one without a repository, may not change the model
        at all; `where` points to the model's name."""
        if url is None and not self.names(model):
            address = "REPOSITORY_URL"
            message = f"This host allows nobody to change the model `{model}`."
        elif url is not None and self.branches(model, url) is None:
            address = _as_prefix(url)
            message = f"This host does not allow that repository to change the model `{model}`."
        else:
            return None
        remedy = (
            f"Add `{model}={address}` to {SETTING} on the host, followed by `@BRANCH` to allow "
            "only the commits of a branch."
        )
        return finding(Code.MODEL_NOT_ALLOWED, where, message, remedy)

    def service_refusal(self, url: str, where: str) -> Finding | None:
        """Why that server may not be sent requests; `where` points to its URL."""
        if self.services is None or url_allowed(url, self.services):
            return None
        return finding(
            Code.SERVICE_NOT_ALLOWED,
            where,
            f"This host does not send requests to `{url}`.",
            f"Add its URL to {SERVICES} on the host.",
        )


def _as_prefix(url: str) -> str:
    """As an entry names the repository."""
    plain = without_azure_user(url)
    server = _SERVER.match(plain)
    end = server.end() if server else len(plain)
    return plain[:end] + plain[end:].replace("@", "%40")
