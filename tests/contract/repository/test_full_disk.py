"""A disk too small for two repositories: a file system of its own, in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.repository.origins import bare, commit, git

MEBIBYTE = 1 << 20
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
MOUNT = 'mkdir "$1" && mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'


@pytest.fixture
def origins(tmp_path: Path) -> Path:
    for name, size in (("a", 4), ("b", 4), ("huge", 12)):
        path = bare(tmp_path / "origins" / name)
        content = os.urandom(size * MEBIBYTE)
        git(path, "update-ref", "refs/heads/main", commit(path, {"data": content}))
    return tmp_path / "origins"


def check_out(home: Path, origins: Path, program: str, *names: str) -> list[str]:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMESPACE, "true"], check=False).returncode
    ):
        pytest.skip("needs a mount namespace (unshare)")
    module = (sys.executable, "-m", "tests.contract.repository.small_disk")
    ended = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, "11m", home, *module, home, origins, program, *names],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.parametrize("program", ["git", "dulwich"])
def test_a_full_disk_is_freed_of_what_is_not_in_use(
    program: str, tmp_path: Path, origins: Path
) -> None:
    told = check_out(tmp_path / "home", origins, program, "a", "b", "huge", "a", "huge")
    full = "huge Temporary There is no space left on this host for the checkout: free some."
    assert told == ["a 1", "b 1", full, "a 1", full, "cached 0"]
