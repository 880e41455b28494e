"""Reads histories with dulwich."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, closing

from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from handlers.repository_handler.client import Broken, Unspoken
from handlers.repository_handler.git_dulwich import Dulwich, reading
from handlers.repository_handler.history import ONLY_COMMITS

_BETWEEN_LOOKS = 1000  # commits between two looks at the clock


class _Growing(Repo):
    """Sends a server only the tips fetched before, not the thousands of commits below them."""

    def get_graph_walker(self, heads: list[ObjectID] | None = None) -> ObjectStoreGraphWalker:
        here = self.refs.as_dict(Ref(b"refs/mlgate")).values() if heads is None else heads
        return ObjectStoreGraphWalker(
            [sha for sha in here if sha in self.object_store],
            lambda _: [],
            shallow=self.get_shallow(),
            update_shallow=self.update_shallow,
        )


class DulwichHistory(Dulwich):
    """Implements `History`. A repository with a path is read in place."""

    _kind = _Growing

    def fetch_history(self, tip: str, depth: int | None) -> None:
        if self._remote.scheme == "file":
            return
        if self._remote.rest is not None:
            # Azure Repos use the old protocol, in which dulwich requests all files as well.
            detail = "dulwich cannot request only commits from it"
            raise Unspoken(detail, self._remote.failed(f"{detail}; install git on the host"))
        with self._exchange() as (client, path):
            client.fetch(
                path,
                self._repo,
                lambda *_, **__: [ObjectID(tip.encode())],
                depth=depth,
                ref_prefix=[Ref(b"HEAD")],
                filter_spec=ONLY_COMMITS.encode(),
            )

    def has_files(self, commit: str) -> bool:
        if self._remote.scheme == "file":
            return False  # nothing is fetched from a path
        with reading():
            return ObjectID(self.tree_of(commit).encode()) in self._repo.object_store

    def reaches(self, tip: str, commit: str) -> bool | None:
        """Whether `tip` reaches `commit`, by the commits alone: dates, commit graphs and grafts are
        not read."""
        with ExitStack() as stack:
            repo = self._repo
            if self._remote.scheme == "file":
                with reading():
                    repo = stack.enter_context(closing(Repo(self._remote.url)))
            return self._walked(repo, ObjectID(tip.encode()), ObjectID(commit.encode()))

    def _walked(self, repo: Repo, tip: ObjectID, wanted: ObjectID) -> bool | None:
        with reading():
            shallow = repo.get_shallow()
        seen, ahead, ends = {tip}, deque([tip]), False
        looked = 0
        while ahead:
            if looked % _BETWEEN_LOOKS == 0 and self._limits.over:
                raise self._remote.silent("reading its history took too long")
            looked += 1
            sha = ahead.popleft()
            if sha == wanted:
                return True
            if sha in shallow:
                ends = True
                continue
            with reading():
                new = [parent for parent in _parents(repo, sha) if parent not in seen]
            seen.update(new)
            ahead.extend(new)
        return None if ends else False


def _parents(repo: Repo, sha: ObjectID) -> list[ObjectID]:
    number, content = repo.object_store.get_raw(sha)
    if number != Commit.type_num:
        raise Broken(f"object {sha.decode()} is not a commit")
    parents = []
    for line in content.split(b"\n")[1:]:  # the tree comes first
        if not line.startswith(b"parent "):
            break
        parents.append(ObjectID(line[7:]))
    return parents
