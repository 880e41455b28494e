"""Fetches one commit of a git repository, caches it, and hands it out as a clean tree.

Where the `git` program is installed, it is used through GitPython; elsewhere (the stock Azure
Functions images) dulwich is. Azure Repos that dulwich cannot talk to are read through their REST
API. All three fill the same kind of cache. What must not differ between them (which commit a ref
means, what a clean tree is) is written once.
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
