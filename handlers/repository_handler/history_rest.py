"""Asks the REST API of Azure Repos about histories; nothing is fetched."""

from __future__ import annotations

from handlers.repository_handler.git_rest import GitRest


class RestHistory(GitRest):
    """Implements `History`."""

    def fetch_history(self, tip: str, depth: int | None) -> None:
        """Do nothing: there is nothing to fetch."""

    def has_files(self, commit: str) -> bool:  # noqa: ARG002 -- the protocol's
        return False

    def reaches(self, tip: str, commit: str) -> bool | None:
        found = self._rest.commit(commit)
        if found is None or found[0] != commit:
            return False
        bases = self._rest.merge_bases(tip, commit)
        if bases is None:
            raise self._remote.silent("its branches moved while they were read")
        return commit in bases  # a commit is the merge base of itself and its descendant
