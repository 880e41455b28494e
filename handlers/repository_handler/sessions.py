"""Chooses the client for remotes on this host: git or dulwich, and REST if dulwich fails.

Each client is imported on first use. Without git, GitPython cannot be imported; with git, a short
checkout would wait for the import of dulwich in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from handlers.repository_handler.cache import Cache
from handlers.repository_handler.client import Client, Limits
from handlers.repository_handler.history import KEY, History
from handlers.repository_handler.remote import Remote
from handlers.repository_handler.session import Session


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes sessions for checkouts and for histories; `home` is the HOME of git."""

    cache: Cache
    use_git: bool
    home: Path

    def of_files(self, limits: Limits) -> Session[Client]:
        def client(folder: Path, remote: Remote) -> Client:
            if not self.use_git:
                from handlers.repository_handler.git_dulwich import Dulwich  # noqa: PLC0415 -- lazy

                return Dulwich(folder, remote, limits)
            from handlers.repository_handler.git_program import GitProgram  # noqa: PLC0415 -- lazy

            return GitProgram(folder, remote, self.home, limits)

        def rest(folder: Path, remote: Remote) -> Client:
            from handlers.repository_handler.git_rest import GitRest  # noqa: PLC0415 -- lazy

            return GitRest(folder, remote, limits)

        return Session(self.cache, client, rest)

    def of_history(self, limits: Limits) -> Session[History]:
        def client(folder: Path, remote: Remote) -> History:
            if not self.use_git:
                from handlers.repository_handler.history_dulwich import DulwichHistory  # noqa: PLC0415 -- lazy

                return DulwichHistory(folder, remote, limits)
            from handlers.repository_handler.history_git import GitHistory  # noqa: PLC0415 -- lazy

            return GitHistory(folder, remote, self.home, limits)

        def rest(folder: Path, remote: Remote) -> History:
            from handlers.repository_handler.history_rest import RestHistory  # noqa: PLC0415 -- lazy

            return RestHistory(folder, remote, limits)

        return Session(self.cache, client, rest, KEY)
