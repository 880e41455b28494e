"""How a repository's address is written, and where Azure Repos show the same one as REST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from mlgate.orchestration.addresses.allowlist import (
    DEFAULT_PORTS,
    Address,
    azure_organization,
    parse_url,
)


def canonical_url(address: Address) -> str:
    """One spelling for each repository, so that it has one place in the cache."""
    user = f"{address.user}@" if address.user else ""
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = "" if address.port == DEFAULT_PORTS[address.scheme] else f":{address.port}"
    path = "/".join(quote(segment, safe="~!$&'()*+,;=:@") for segment in address.segments)
    return f"{address.scheme}://{user}{host}{port}/{path}"


def rest_address(address: Address, collection: str | None) -> str | None:
    """`{collection}/{project}/_apis/git/repositories/{name}`; None for what is no Azure Repos URL.

    Those have the form `{collection}/{project}/_git/{name}`, or without the project where it is
    called as the repository. Of a host that is not Microsoft's, only the build's own `collection`
    is known to be one.
    """
    if "_git" not in address.segments[-2:-1]:
        return None
    *around, _, name = address.segments
    depth = _collection_depth(address, around, collection)
    if depth is None or len(around) - depth not in (0, 1):
        return None
    project = around[depth] if len(around) > depth else name
    segments = (*around[:depth], project, "_apis", "git", "repositories", name)
    return canonical_url(replace(address, segments=segments))


def _collection_depth(
    address: Address, around: Sequence[str], collection: str | None
) -> int | None:
    """How many of the segments `around` a repository name its collection."""
    if azure_organization(address):
        if address.host == "dev.azure.com":
            return 1
        return int(around[:1] == ["DefaultCollection"])
    own = parse_url(collection) if collection else None
    return len(own.segments) if own and address.within(own) else None
