"""Submodules: each is a repository like any other, so fetched, allowed and cached like one.

`git submodule update` is not used: it runs by configuration, and knows no allow-list.
"""

from __future__ import annotations

from collections.abc import Callable
from posixpath import normpath
from urllib.parse import urlsplit, urlunsplit

from handlers.repository_handler.client import Client
from handlers.repository_handler.export import Listing, graft, list_tree
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.errors import Permanent

Opener = Callable[[str, str], tuple[Client, Remote]]  # url, commit -> who has it cached


def add_submodules(
    listing: Listing, client: Client, commit: str, remote: Remote, open_: Opener
) -> None:
    """Graft the tree of each submodule into `listing`, and theirs into them."""
    if not listing.submodules:
        return
    urls = client.submodules(commit)
    for parts, wanted in listing.submodules.items():
        path = "/".join(parts)
        if path not in urls:
            raise Permanent(
                f"The submodule {path} of {remote.url} has no URL in .gitmodules: add it there."
            )
        inner_client, inner_remote = open_(_absolute(urls[path], remote.url), wanted)
        inner = list_tree(inner_client, wanted)
        add_submodules(inner, inner_client, wanted, inner_remote, open_)
        graft(listing.root, parts, inner.root)
        listing.unreadable.extend(inner.unreadable)
    listing.submodules.clear()


def _absolute(url: str, parent: str) -> str:
    """`./` and `../` are relative to the URL of the repository around (gitmodules(5))."""
    if not url.startswith(("./", "../")):
        return url
    if parent.startswith("/"):
        return normpath(f"{parent}/{url}")
    parts = urlsplit(parent)
    return urlunsplit(parts._replace(path=normpath(f"{parts.path}/{url}")))
