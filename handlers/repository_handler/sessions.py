"""What speaks to remotes on this host: the git program, or dulwich, and REST where that fails.

Each is imported when it is first used: GitPython fails to import where there is no git, and where
there is one, a short checkout would wait for dulwich's import for nothing.
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
    """`home` is git's own."""

    cache: Cache
    use_git: bool
    home: Path

    def of_files(self, limits: Limits) -> Session[Client]:
        def client(folder: Path, remote: Remote) -> Client:
            if not self.use_git:
                from handlers.repository_handler.git_dulwich import Dulwich  # noqa: PLC0415 -- as said

                return Dulwich(folder, remote, limits)
            from handlers.repository_handler.git_program import GitProgram  # noqa: PLC0415 -- as said

            return GitProgram(folder, remote, self.home, limits)

        def rest(folder: Path, remote: Remote) -> Client:
            from handlers.repository_handler.git_rest import GitRest  # noqa: PLC0415 -- as said

            return GitRest(folder, remote, limits)

        return Session(self.cache, client, rest)

    def of_history(self, limits: Limits) -> Session[History]:
        def client(folder: Path, remote: Remote) -> History:
            if not self.use_git:
                from handlers.repository_handler.history_dulwich import DulwichHistory  # noqa: PLC0415 -- as said

                return DulwichHistory(folder, remote, limits)
            from handlers.repository_handler.history_git import GitHistory  # noqa: PLC0415 -- as said

            return GitHistory(folder, remote, self.home, limits)

        def rest(folder: Path, remote: Remote) -> History:
            from handlers.repository_handler.history_rest import RestHistory  # noqa: PLC0415 -- as said

            return RestHistory(folder, remote, limits)

        return Session(self.cache, client, rest, KEY)
