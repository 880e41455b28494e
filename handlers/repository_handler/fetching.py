"""Resolves a message's ref to a commit and fetches it, with as little traffic as possible."""

from __future__ import annotations

import re
from collections.abc import Mapping

from handlers.repository_handler.cache import Entry
from handlers.repository_handler.client import WHOLE_HISTORY, Client, Refs, Refused
from handlers.repository_handler.readers import Readers
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.errors import Permanent

_SHA = re.compile(r"[0-9a-fA-F]{40}")
BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
_DEPTHS = (1, 50, 500, WHOLE_HISTORY)  # for servers that only serve the tips of their refs
_SHOWN = 8  # branches named in an error


def fetch_commit(
    client: Client, entry: Entry, remote: Remote, ref: str | None, readers: Readers
) -> str:
    """Fetch the commit of `ref` (None: the default branch) with its files; returns its full SHA.

    A cached SHA costs nothing if the server answered this credential recently, else one listing.
    Any other ref costs one listing. If a branch and a tag have the same name, the branch counts.
    Raises Busy if a fetch is needed while another checkout fetches.
    """
    if ref is not None and _SHA.fullmatch(ref):
        wanted, commit = ref.lower(), None
    else:
        wanted, commit = _listed(client, remote, ref)
        readers.note(remote)

    def cached() -> str | None:
        found = entry.known(wanted) or (commit and entry.known(commit))
        if found and not readers.lately(remote):
            client.list_refs("HEAD")  # fails if this credential may not read the repository
            readers.note(remote)
        return found or None

    found = cached()
    if found:
        return found
    with entry.fetching():
        found = cached()  # another checkout may have just fetched it
        if found:
            return found
        found = _fetched(client, entry, remote, ref, wanted)
    readers.note(remote)
    return found


def _fetched(client: Client, entry: Entry, remote: Remote, ref: str | None, wanted: str) -> str:
    fetched = _fetch_one(client, wanted)
    if fetched is False:
        fetched = _deepen(client, remote, wanted)
    if not fetched:
        raise _no_such_ref(client, remote, ref or wanted)
    found = client.commit_of(wanted)
    if found is None:
        raise Permanent(f"{wanted} in {remote.url} is not a commit: name one, a branch or a tag.")
    entry.remember(wanted, found)
    return found


def _fetch_one(client: Client, sha: str) -> bool | None:
    """True: fetched. None: the server does not have it. False: the server only serves the tips of
    its refs, and may have it."""
    try:
        client.fetch([sha], depth=1)
    except Refused as refused:
        return None if refused.final else False
    return True


def _listed(client: Client, remote: Remote, ref: str | None) -> tuple[str, str | None]:
    """The remote's SHA for `ref` and, if that is a tag object, the SHA of its commit."""
    if ref is None or ref == "HEAD" or ref.startswith("refs/"):
        names = [ref or "HEAD"]
    else:
        names = [BRANCHES + ref, _TAGS + ref]
    if not all(_plausible(name) for name in (ref or "HEAD", *names)):
        raise Permanent(f"The ref {ref!a} is not a valid name in git: correct it.")
    refs = client.list_refs(*names)
    for name in names:
        if name in refs:
            return refs[name], refs.get(f"{name}^{{}}")
    if ref is None or ref == "HEAD":
        raise _no_default_branch(client, remote)
    raise _no_such_ref(client, remote, ref)


def _deepen(client: Client, remote: Remote, sha: str) -> bool:
    """Fetch the history of every branch and tag until `sha` is in it, no deeper than needed."""
    tips = sorted(set(_tips(client.list_refs(BRANCHES, _TAGS)).values()))
    if not tips:
        return False
    for depth in _DEPTHS:
        try:
            client.fetch(tips, depth)
        except Refused:
            raise remote.silent("its branches moved while they were fetched") from None
        if client.commit_of(sha):
            return True
    return False


def _tips(refs: Mapping[str, str]) -> Mapping[str, str]:
    return {name: sha for name, sha in refs.items() if not name.endswith("^{}")}


def _no_such_ref(client: Client, remote: Remote, ref: str) -> Permanent:
    advice = "name the full 40 digits of a commit, " if re.fullmatch(r"[0-9a-f]+", ref) else ""
    return Permanent(
        f"ref '{ref}' is not in {remote.url} (branches: {branches_of(client) or 'none'}): "
        f"{advice}push it, or correct the name."
    )


def _no_default_branch(client: Client, remote: Remote) -> Permanent:
    branches = branches_of(client)
    if not branches:
        return Permanent(f"The repository {remote.url} is empty: push a branch to it.")
    return Permanent(
        f"The default branch of {remote.url} does not exist (branches: {branches}): set "
        "`repository.ref` to one that does, or correct the default branch on the server."
    )


def branches_of(client: Refs) -> str:
    """The names of the remote's first branches, for a message."""
    names = sorted(
        name.removeprefix(BRANCHES)
        for name in client.list_refs(BRANCHES)
        if name.startswith(BRANCHES)
    )
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _plausible(name: str) -> bool:
    """Whether `name` follows those rules of `git check-ref-format` that matter here."""
    return re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock$|^[-./]|[/.]$", name) is None
