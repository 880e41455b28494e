"""Whether a commit is on a branch: told from parents that are read here, or by the server itself.

The history has a place of its own in the cache, beside that of checkouts, which holds shallow
commits. Of it only commits are asked for; a server that sends their files as well is asked for
more and more of it, until the answer is known.
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

KEY = "-history"  # what the name of such a place in the cache ends with
ONLY_COMMITS = "tree:0"  # of filters, in the words of git
_SHA = re.compile(r"[0-9a-f]{40}")
_DEPTHS = (50, 500, WHOLE_HISTORY)  # where all files come along
_MOST_PACKS = 100  # each fetch brings one, and dulwich opens all of them


class History(Refs, Protocol):
    """The history of one remote. Raises what a `Client` does; its methods take full SHAs."""

    def fetch_history(self, tip: str, depth: int | None) -> None:
        """Bring `tip` here with `depth` generations; None: all that those here do not have yet."""
        ...

    def has_files(self, commit: str) -> bool:
        """Whether the commit's tree is here, as the server did not leave it out."""
        ...

    def reaches(self, tip: str, commit: str) -> bool | None:
        """Whether `commit` is `tip` or an ancestor; None when what is here ends before that."""
        ...


def require_names(commit: str, branch: str) -> None:
    """`Permanent` for what is not worth asking a server."""
    if not _SHA.fullmatch(commit):
        raise Permanent(f"{commit!a} is not the full SHA of a commit: name all 40 digits.")
    if not is_branch_name(branch):
        raise Permanent(
            f"The branch {branch!a} is not a name that git takes: correct it in "
            "MLGATE_ALLOWED_MODELS."
        )


def contains(
    client: History, entry: Entry, remote: Remote, commit: str, branch: str, readers: Readers
) -> bool:
    """Whether the remote's branch is at `commit` now, or at a descendant of it.

    Costs one listing, which a server refuses to whoever may not read, and a fetch when its tip is
    new here. Raises Busy when it is to be fetched and that is not our turn.
    """
    tip = _tip(client, remote, branch)
    readers.note(remote)
    if tip == commit:
        return True
    said = _known(client, entry, tip, commit)
    if said is None:
        with entry.fetching():
            said = _known(client, entry, tip, commit)  # who had the turn before may have brought it
            if said is None:
                said = _fetched(client, entry, remote, tip, commit)
    if said is None:
        raise Permanent(
            f"The repository {remote.url} has only a part of its history, and {commit[:12]} is not "
            f"in that of '{branch}': bring the rest there (`git fetch --unshallow`)."
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
        raise remote.silent("its answer is not understood")
    return tip


def _known(client: History, entry: Entry, tip: str, commit: str) -> bool | None:
    """Only what was brought as a whole is read: an interrupted fetch looks like a short history."""
    return client.reaches(tip, commit) if entry.known(tip) else None


def _fetched(client: History, entry: Entry, remote: Remote, tip: str, commit: str) -> bool | None:
    def bring(depth: int | None) -> bool | None:
        try:
            client.fetch_history(tip, depth)
        except Refused:
            raise remote.silent("its branches moved while they were fetched") from None
        entry.remember(tip, tip)
        return client.reaches(tip, commit)

    # Where nothing is known of the server yet, one commit shows what comes along with it.
    said = bring(1 if entry.empty else None)
    if said is None:
        for depth in _DEPTHS if client.has_files(tip) else (WHOLE_HISTORY,):
            said = bring(depth)
            if said is not None:
                break
    if entry.packs > _MOST_PACKS:
        entry.doom()  # the next one begins anew, with one pack
    return said
