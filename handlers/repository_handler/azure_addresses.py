"""Normalizes a repository's address, and finds its address in the REST API of Azure Repos."""

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
    """The only spelling of a repository's URL, so that it has one place in the cache."""
    user = f"{address.user}@" if address.user else ""
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = "" if address.port == DEFAULT_PORTS[address.scheme] else f":{address.port}"
    path = "/".join(quote(segment, safe="~!$&'()*+,;=:@") for segment in address.segments)
    return f"{address.scheme}://{user}{host}{port}/{path}"


def rest_address(address: Address, collection: str | None) -> str | None:
    """`{collection}/{project}/_apis/git/repositories/{name}`; None if it is not an Azure Repos URL.

    Those have the form `{collection}/{project}/_git/{name}`, without the project if it has the
    repository's name. On hosts that are not Microsoft's, only the build's own `collection` is known
    to be one.
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
    """How many of the segments `around` a repository's name are its collection's."""
    if azure_organization(address):
        if address.host == "dev.azure.com":
            return 1
        return int(around[:1] == ["DefaultCollection"])
    own = parse_url(collection) if collection else None
    return len(own.segments) if own and address.within(own) else None
