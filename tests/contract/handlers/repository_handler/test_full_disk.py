"""A disk too small for two repositories: a file system of its own, in a namespace of its own."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.handlers.repository_handler.origins import bare, commit, git, point
from tests.servers.azure_repos import azure_repos_server

MEBIBYTE = 1 << 20
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_CACHES = {"git": 1, "dulwich": 1, "rest": 2}  # of one repository: dulwich's is there as well
MOUNT = 'mkdir "$1" && mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'


@pytest.fixture
def origins(tmp_path: Path) -> Path:
    for name, size in (("a", 4), ("b", 4), ("huge", 12)):
        path = bare(tmp_path / "origins" / name)
        content = os.urandom(size * MEBIBYTE)
        point(path, "refs/heads/main", commit(path, {"data": content}))
    return tmp_path / "origins"


@pytest.fixture(params=["git", "dulwich", "rest"])
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(program: str, origins: Path) -> Iterator[str]:
    """Where the process under test finds the repositories."""
    if program != "rest":
        yield str(origins)
        return
    with azure_repos_server(origins) as azure:
        azure.git_status = 400
        yield f"{azure.url}/contoso/flowers/_git"


def check_out(size: str, home: Path, origins: str, program: str, *names: str) -> list[str]:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMESPACE, "true"], check=False).returncode
    ):
        pytest.skip("needs a mount namespace (unshare)")
    module = (sys.executable, "-m", "tests.contract.handlers.repository_handler.small_disk")
    ended = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, size, home, *module, home, origins, program, *names],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stdout.splitlines()


def test_what_fills_the_disk_by_itself_is_refused_and_nothing_is_cleared_for_it(
    program: str, tmp_path: Path, place: str
) -> None:
    names = ("a", "b", "huge", "a", "huge")
    told = check_out("11m", tmp_path / "home", place, program, *names)
    refused = f"huge TooLarge The repository {place}/huge needs "
    # For the tree of b the cache of a had to go, and the other way round.
    assert [told[0], told[1], told[3]] == ["a 1", "b 1", "a 1"]
    assert told[5] == f"cached {_CACHES[program]}"
    assert told[2].startswith(refused)
    assert told[4].startswith(refused)
    assert "repository.subdirectory" in told[2]


def test_what_the_tree_takes_is_known_before_it_is_written(
    program: str, tmp_path: Path, origins: Path, place: str
) -> None:
    """Zeros, of which the pack has next to nothing."""
    path = bare(origins / "zeros")
    point(path, "refs/heads/main", commit(path, {"data": bytes(40 * MEBIBYTE)}))
    told = check_out("16m", tmp_path / "home", place, program, "a", "zeros", "a")
    assert told[0] == told[2] == "a 1"
    assert told[1].startswith(f"zeros TooLarge The repository {place}/zeros needs 40 MiB or more")
    assert told[3] == f"cached {_CACHES[program]}"


def test_a_history_that_fills_the_disk_by_itself_is_refused(tmp_path: Path, origins: Path) -> None:
    path = bare(origins / "wordy")
    words = base64.b64encode(os.urandom(12 * MEBIBYTE))
    tree = git(path, "write-tree")
    point(path, "refs/heads/main", git(path, "commit-tree", tree, stdin=words))
    names = ("?huge", "a", "?wordy", "a", "?huge")
    told = check_out("11m", tmp_path / "home", str(origins), "git", *names)
    assert told[0] == told[4] == "?huge False"  # its files are what is large
    assert told[1] == told[3] == "a 1"
    assert told[2].startswith(f"?wordy TooLarge The repository {origins}/wordy needs ")


def test_a_disk_that_others_filled_is_this_hosts_trouble(
    program: str, tmp_path: Path, place: str
) -> None:
    told = check_out("1m,nr_inodes=30", tmp_path / "home", place, program, "-", "a")
    full = "a Temporary This host has no space left for the checkout: free some."
    assert told == [full, "cached 0"]


def test_a_disk_without_room_for_even_a_folder_is_freed_as_well(
    tmp_path: Path, origins: Path
) -> None:
    names = ("a", "b", "-", "huge")
    told = check_out("64m,nr_inodes=300", tmp_path / "home", str(origins), "git", *names)
    assert told == ["a 1", "b 1", "huge 1", "cached 1"]
