"""Decides whether a commit is on a branch, by reading parents here or by asking the server.

A history has its own place in the cache, because the one for checkouts holds shallow commits. Only
commits are requested. A server that sends their files as well is asked for a little history first,
then for more until the answer is known.
"""

from __future__ import annotations

import re
from typing import Protocol

from handlers.repository_handler.cache import Entry
from handlers.repository_handler.client import WHOLE_HISTORY, Refs, Refused
from handlers.repository_handler.fetching import BRANCHES, branches_of
from handlers.repository_handler.readers import Readers
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.addresses.branches import is_branch_name
from mlgate.orchestration.errors import Permanent

KEY = "-history"  # the suffix of a history's place in the cache
ONLY_COMMITS = "tree:0"  # git's filter that leaves out trees and files
_SHA = re.compile(r"[0-9a-f]{40}")
_DEPTHS = (50, 500, WHOLE_HISTORY)  # for servers that send all files as well
_MOST_PACKS = 100  # each fetch adds one, and dulwich opens all of them


class History(Refs, Protocol):
    """The history of one remote. Raises the errors of a `Client`; its methods take full SHAs."""

    def fetch_history(self, tip: str, depth: int | None) -> None:
        """Fetch `tip` with `depth` generations, or with None, all commits that are missing here."""
        ...

    def has_files(self, commit: str) -> bool:
        """Whether the commit's tree is here, so that the server ignored the filter."""
        ...

    def reaches(self, tip: str, commit: str) -> bool | None:
        """Whether `commit` is `tip` or its ancestor; None if the history here is too short."""
        ...


def require_names(commit: str, branch: str) -> None:
    """Raise `Permanent` for names that no server would know."""
    if not _SHA.fullmatch(commit):
        raise Permanent(f"{commit!a} is not the full SHA of a commit: name all 40 digits.")
    if not is_branch_name(branch):
        raise Permanent(
            f"The branch {branch!a} is not a valid name in git: correct it in "
            "MLGATE_ALLOWED_MODELS."
        )


def contains(
    client: History, entry: Entry, remote: Remote, commit: str, branch: str, readers: Readers
) -> bool:
    """Whether the remote's branch is now at `commit` or a descendant of it.

    Costs one listing, which the server refuses if the credential may not read, and a fetch if the
    branch's tip is new here. Raises Busy if a fetch is needed while another checkout fetches.
    """
    tip = _tip(client, remote, branch)
    readers.note(remote)
    if tip == commit:
        return True
    said = _known(client, entry, tip, commit)
    if said is None:
        with entry.fetching():
            said = _known(client, entry, tip, commit)  # another checkout may have just fetched it
            if said is None:
                said = _fetched(client, entry, remote, tip, commit)
    if said is None:
        raise Permanent(
            f"The repository {remote.url} is shallow, and {commit[:12]} is not in the part of "
            f"'{branch}' that it has: complete its history (`git fetch --unshallow`)."
        )
    return said


def _tip(client: History, remote: Remote, branch: str) -> str:
    name = f"{BRANCHES}{branch}"
    tip = client.list_refs(name).get(name)
    if tip is None:
        raise Permanent(
            f"The branch '{branch}' is not in {remote.url} "
            f"(branches: {branches_of(client) or 'none'}): push it, or correct its name in "
            "MLGATE_ALLOWED_MODELS."
        )
    if not _SHA.fullmatch(tip):
        raise remote.silent("its answer cannot be understood")
    return tip


def _known(client: History, entry: Entry, tip: str, commit: str) -> bool | None:
    """Read only complete fetches: an interrupted one looks like a short history."""
    return client.reaches(tip, commit) if entry.known(tip) else None


def _fetched(client: History, entry: Entry, remote: Remote, tip: str, commit: str) -> bool | None:
    def bring(depth: int | None) -> bool | None:
        try:
            client.fetch_history(tip, depth)
        except Refused:
            raise remote.silent("its branches moved while they were fetched") from None
        entry.remember(tip, tip)
        return client.reaches(tip, commit)

    # For a new server, fetch a single commit to see whether its files come with it.
    said = bring(1 if entry.empty else None)
    if said is None:
        for depth in _DEPTHS if client.has_files(tip) else (WHOLE_HISTORY,):
            said = bring(depth)
            if said is not None:
                break
    if entry.packs > _MOST_PACKS:
        entry.doom()  # the next fetch starts again with one pack
    return said
