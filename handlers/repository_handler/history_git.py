"""Reads histories with the git program."""

from __future__ import annotations

from pathlib import Path

from handlers.repository_handler.client import Broken, Limits
from handlers.repository_handler.git_program import GitProgram
from handlers.repository_handler.history import ONLY_COMMITS
from handlers.repository_handler.process import GitFailed, GitTimeout, run
from handlers.repository_handler.remote import Remote

# Only for this command: with these options, others would request missing objects from the server.
_PARTIAL = (
    "-c", "remote.origin.promisor=true",
    "-c", f"remote.origin.partialCloneFilter={ONLY_COMMITS}",
)  # fmt: skip


class GitHistory(GitProgram):
    """Implements `History`."""

    def __init__(self, folder: Path, remote: Remote, home: Path, limits: Limits) -> None:
        super().__init__(folder, remote, home, limits)
        self._shallow = folder / "shallow"

    def fetch_history(self, tip: str, depth: int | None) -> None:
        self._bring("origin", [tip], depth, *_PARTIAL)

    def has_files(self, commit: str) -> bool:
        try:
            self.tree_of(commit)
        except Broken:
            return False
        return True

    def reaches(self, tip: str, commit: str) -> bool | None:
        # `merge-base --is-ancestor` would treat a missing commit as the end of the history.
        ends = self._ends_before_its_roots()  # read first: a fetch may deepen it meanwhile
        try:
            listed = run(
                self._git,
                "rev-list",
                "--stdin",
                stdin=f"{tip}\n".encode(),
                timeout=self._limits.left,
            )
        except GitTimeout as late:
            raise self._remote.silent(str(late)) from None
        except GitFailed as failed:
            raise Broken(str(failed)) from failed
        if commit.encode() in listed:
            return True
        return None if ends else False

    def _ends_before_its_roots(self) -> bool:
        try:
            return self._shallow.stat().st_size > 0
        except FileNotFoundError:
            return False
