"""Git repositories: one commit fetched, kept, and handed out as a clean tree.

Two programs speak git for us: `git` itself through GitPython where it is installed, dulwich where
it is not (the stock Azure Functions images). Azure Repos that dulwich cannot talk to are read
through their REST API. All fill the same kind of cache, and everything that must not differ between
them (which commit a ref means, what a clean tree is) is written once.
"""

from handlers.repository_handler.credentials import GitCredential
from handlers.repository_handler.handler import RepositoryHandler
from handlers.repository_handler.worktree import (
    NoWorkTree,
    commit_worktree,
    is_repository,
    uncommitted_changes,
)

__all__ = [
    "GitCredential",
    "NoWorkTree",
    "RepositoryHandler",
    "commit_worktree",
    "is_repository",
    "uncommitted_changes",
]
