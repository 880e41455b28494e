"""Checks whether this host can clone a repository, with the git program and without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from handlers.made_folders import unmade_again
from handlers.repository_handler.credentials import GitCredential
from handlers.repository_handler.handler import RepositoryHandler
from handlers.repository_handler.scratch import scratch
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.checks import Examination, NotApplicable

_LIMIT = 180.0  # seconds
_REMEDY = (
    "Check that MLGATE_ALLOWED_REPOSITORIES has its URL, and that the job `uses` it or "
    "MLGATE_GIT_CREDENTIALS names a token for it."
)

_UNNAMED = "No repository was named: give --repository URL."
_NONE_ALLOWED = "MLGATE_ALLOWED_REPOSITORIES is empty: a worker here rejects every repository."


def examinations(
    request: RepositoryRequest | None,
    *,
    home: Path,
    allowed: Sequence[str],
    credentials: Sequence[GitCredential],
    host_identity: Callable[[], SecretStr] | None,
    collection: str | None,
    token: SecretStr | None,
) -> tuple[Examination, ...]:
    """Check out the default branch into a temporary folder of `home`."""

    def clone(*, use_git: bool) -> str:
        if request is None:
            raise NotApplicable(_UNNAMED if allowed else f"{_UNNAMED} {_NONE_ALLOWED}")
        checkouts = home / "checkouts"
        with unmade_again(checkouts), scratch(checkouts) as folder:
            handler = RepositoryHandler(
                home=folder,
                allowed=allowed,
                credentials=credentials,
                host_identity=host_identity,
                use_git=use_git,
                timeout=_LIMIT - 20,  # shorter, so that its own error is reported
            )
            wanted = replace(request, ref=None, subdirectory=".", submodules=False, lfs=False)
            with handler.checkout(wanted, collection=collection, token=token) as tree:
                count = len(tree.files())
                return f"{request.url} at {tree.commit[:12]} has {count} files."

    def with_git() -> str:
        if shutil.which("git") is None:
            raise NotApplicable(
                "git is not installed, so this host cannot fetch submodules and LFS files."
            )
        return clone(use_git=True)

    def without_git() -> str:
        return clone(use_git=False)

    disk = ("disk",)
    return (
        Examination("repository-git", with_git, _REMEDY, disk, _LIMIT),
        Examination("repository-dulwich", without_git, _REMEDY, disk, _LIMIT),
    )
