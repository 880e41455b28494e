"""The app as it is deployed, and a host for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.functions.process import ENVIRONMENT

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `.funcignore` leaves of this repository, which has git's syntax."""
    if not (ENVIRONMENT / ".installed").exists():
        assert "CI" not in os.environ
        pytest.skip("`make functions` installs Microsoft's worker code")
    folder = tmp_path_factory.mktemp("app")
    for path in left_by_funcignore():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


def left_by_funcignore() -> list[str]:
    """The repository's files that a deployment takes."""
    # Git asks its index first, so it must find none.
    no_index = {"GIT_INDEX_FILE": str(ROOT / ".git-index-of-nothing")}
    taken = git_lists("--others", "--exclude-from=.funcignore", **no_index)
    return sorted(taken & git_lists("--cached", "--others", "--exclude-standard"))


def git_lists(*options: str, **environment: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return {path for path in listed.stdout.split("\0") if (ROOT / path).is_file()}
