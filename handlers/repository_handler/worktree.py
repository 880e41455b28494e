"""Commits the user's work tree as it is, for `mlgate run --worktree`, which needs no push."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.repository_handler.process import GitFailed, GitTimeout, run
from mlgate.orchestration.errors import Permanent

if TYPE_CHECKING:
    from git.cmd import Git

# The repository and its configuration (ignored files, clean filters) are the user's, so they are
# trusted. But reading them must not change anything.
_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false")

# With a fixed author, the same files give the same commit, which is cached and staged once.
_AUTHOR = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "mlgate"), ("EMAIL", "mlgate@localhost"), ("DATE", "@0 +0000"))
}


class NoWorkTree(Permanent):
    """The folder is not in a git work tree."""


def is_repository(path: Path) -> bool:
    """Whether `path` can be cloned: the top of a work tree, or a bare repository. Needs no git."""
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def uncommitted_changes(path: Path) -> bool:
    """Whether files differ from HEAD, are staged, or are neither tracked nor ignored.

    Raises `NoWorkTree`, and `Permanent` if git is not installed.
    """
    return bool(_run(_git(path), "status", "--porcelain", "--untracked-files=normal"))


def commit_worktree(path: Path) -> str:
    """Commit all tracked files and all untracked ones that are not ignored; returns the SHA.

    HEAD, index, refs and work tree stay as they are, so no ref names the commit. Its parent is
    HEAD. Raises `NoWorkTree`, and `Permanent` if git is not installed.
    """
    git = _git(path)
    index = Path(_run(git, "rev-parse", "--path-format=absolute", "--git-path", "index"))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "index"
        if index.exists():  # it knows which ignored files are tracked anyway
            shutil.copy2(index, copy)
        git.update_environment(GIT_INDEX_FILE=str(copy), **_AUTHOR)
        _run(git, "add", "--all", ".")
        tree = _run(git, "write-tree")
    try:
        parent = ["-p", run(git, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()]
    except GitFailed:  # nothing is committed yet
        parent = []
    return _run(git, "commit-tree", tree, *parent, "-m", "Work tree, as mlgate found it")


def _git(path: Path) -> Git:
    """git at the top of the work tree around `path`; ignores this process's GIT_DIR."""
    if shutil.which("git") is None:
        raise Permanent("Reading a work tree needs the git program: install git.")
    from git import Repo  # noqa: PLC0415 -- cannot be imported if git is not installed
    from git.exc import InvalidGitRepositoryError, NoSuchPathError  # noqa: PLC0415 -- likewise

    try:
        repository = Repo(path, search_parent_directories=True)
    except (InvalidGitRepositoryError, NoSuchPathError):
        raise NoWorkTree(f"{path} is not in a git repository: name a folder of one.") from None
    with repository:
        if repository.working_tree_dir is None:
            raise NoWorkTree(f"{path} is a bare repository: it has no files of its own.")
        git = repository.git
        git.update_environment(
            GIT_DIR=str(repository.git_dir),
            GIT_WORK_TREE=str(repository.working_tree_dir),
            GIT_INDEX_FILE=str(Path(repository.git_dir) / "index"),
            GIT_OPTIONAL_LOCKS="0",
        )
    return git


def _run(git: Git, *arguments: str) -> str:
    try:
        return run(git, *_QUIET, *arguments).decode().strip()
    except (GitFailed, GitTimeout) as failed:
        raise Permanent(f"git {arguments[0]} says: {str(failed).strip()[:500]}") from None
