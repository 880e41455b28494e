"""A few objects that describe more than any host can hold."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from handlers.repository_handler import pack_watch
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.conftest import MakeHandler
from tests.contract.handlers.repository_handler.origins import (
    Content,
    bare,
    commit,
    commit_tree,
    point,
    raw_tree,
    write_blob,
)
from tests.servers.git_http import GitHttpServer, git_http_server

FOLDER = 0o40000


@dataclass(frozen=True)
class Told:
    words: str
    mebibytes: int
    seconds: float


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[GitHttpServer]:
    (tmp_path / "origins").mkdir()
    with git_http_server(tmp_path / "origins") as running:
        yield running


def check_out(
    home: Path, url: str, use_git: bool, subdirectory: str = ".", submodules: str = "none"
) -> Told:
    module = (sys.executable, "-m", "tests.contract.handlers.repository_handler.weighed")
    options = ("git" if use_git else "dulwich", subdirectory, submodules)
    begun = time.monotonic()
    said = subprocess.run(
        [*module, home, url, *options], stdout=subprocess.PIPE, text=True, timeout=120, check=True
    )
    words, most = said.stdout.splitlines()
    return Told(words, int(most), time.monotonic() - begun)


def is_refused(told: Told, home: Path, why: str) -> bool:
    """With a remedy, quickly, in little memory, and with nothing left on disk."""
    assert why in told.words
    assert told.words.startswith("TooLarge ")
    assert "`repository.subdirectory`" in told.words
    assert told.seconds < 60
    assert told.mebibytes < 150
    return not any((home / "checkouts").iterdir()) and not list(home.glob("repositories/*/*"))


def tower(repository: Path, levels: int, wide: int = 10) -> str:
    """A tree of `wide ** levels` paths, from as many objects as it has levels."""
    tree = raw_tree(repository, [(0o100644, b"f", write_blob(repository, b"boom"))])
    for _ in range(levels):
        tree = raw_tree(repository, [(FOLDER, b"%d" % name, tree) for name in range(wide)])
    return tree


def publish(repository: Path, sha: str) -> str:
    point(repository, "refs/heads/main", sha)
    return sha


@pytest.mark.parametrize("place", ["http", "path"])
def test_ten_million_paths_are_refused(
    forge: GitHttpServer, use_git: bool, tmp_path: Path, place: str
) -> None:
    path = bare(tmp_path / "origins" / "bomb.git")
    inner = raw_tree(path, [(0o100644, b"train.py", write_blob(path, b"x"))])
    tree = raw_tree(path, [(FOLDER, b"boom", tower(path, 7)), (FOLDER, b"code", inner)])
    publish(path, commit_tree(path, tree))
    url = f"{forge.url}/bomb.git" if place == "http" else str(path)
    home = tmp_path / "home"
    assert is_refused(check_out(home, url, use_git), home, "more than 500000 files and folders")
    assert check_out(home, url, use_git, "code").words == "1"


def test_ten_million_paths_in_a_submodule_are_refused(forge: GitHttpServer, tmp_path: Path) -> None:
    inner = bare(tmp_path / "origins" / "inner.git")
    sha = publish(inner, commit_tree(inner, tower(inner, 7)))
    outer = bare(tmp_path / "origins" / "outer.git")
    modules = b'[submodule "x"]\n\tpath = libs/x\n\turl = ../inner.git\n'
    files: dict[str, Content] = {
        ".gitmodules": modules,
        "libs/x": (0o160000, sha.encode()),
        "code/train.py": b"x",
    }
    publish(outer, commit(outer, files))
    home, url = tmp_path / "home", f"{forge.url}/outer.git"
    told = check_out(home, url, True, submodules="submodules")
    assert is_refused(told, home, "more than 500000 files and folders")
    assert check_out(home, url, True, "code", "submodules").words == "1"


def test_paths_are_counted_across_submodules(forge: GitHttpServer, tmp_path: Path) -> None:
    """None of which is too large by itself."""
    inner = bare(tmp_path / "origins" / "inner.git")
    sha = publish(inner, commit_tree(inner, tower(inner, 5)))
    outer = bare(tmp_path / "origins" / "outer.git")
    names = [f"lib{number}" for number in range(6)]
    modules = "".join(
        f'[submodule "{name}"]\n\tpath = {name}\n\turl = ../inner.git\n' for name in names
    )
    files: dict[str, Content] = {name: (0o160000, sha.encode()) for name in names}
    publish(outer, commit(outer, files | {".gitmodules": modules.encode()}))
    home = tmp_path / "home"
    told = check_out(home, f"{forge.url}/outer.git", True, submodules="submodules")
    assert is_refused(told, home, "more than 500000 files and folders")


@pytest.mark.parametrize(("levels", "outcome"), [(6, 64), (12, None)])
def test_submodules_that_double_at_each_level_end(
    forge: GitHttpServer, tmp_path: Path, levels: int, outcome: int | None
) -> None:
    """Each commit has the one before it twice."""
    path = bare(tmp_path / "origins" / "self.git")
    modules = b"".join(
        b'[submodule "%s"]\n\tpath = %s\n\turl = ./\n' % (name, name) for name in (b"a", b"b")
    )
    sha = publish(path, commit(path, {"file": b"x"}))
    for _ in range(levels):
        twice: dict[str, Content] = {name: (0o160000, sha.encode()) for name in "ab"}
        sha = publish(path, commit(path, twice | {".gitmodules": modules}))
    home = tmp_path / "home"
    told = check_out(home, f"{forge.url}/self.git", True, submodules="submodules")
    if outcome is None:
        assert is_refused(told, home, "submodules nested more than 10 deep")
    else:
        assert told.words == str(outcome + outcome - 1)  # the files, and a .gitmodules above each


def test_more_bytes_than_a_checkout_may_have_are_refused(
    forge: GitHttpServer, use_git: bool, tmp_path: Path
) -> None:
    path = bare(tmp_path / "origins" / "zeros.git")
    zeros = write_blob(path, bytes(10 << 20))
    names = [(0o100644, b"%04d.bin" % number, zeros) for number in range(2100)]
    tree = raw_tree(path, [(FOLDER, b"data", raw_tree(path, names))])
    publish(path, commit_tree(path, tree))
    home = tmp_path / "home"
    told = check_out(home, f"{forge.url}/zeros.git", use_git)
    assert is_refused(told, home, "more than 20480 MiB of files")


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = bare(tmp_path_factory.mktemp("flat") / "flat.git")
    blob = write_blob(path, b"x")
    names = [(0o100644, b"%07d" % number, blob) for number in range(1_000_000)]
    publish(path, commit_tree(path, raw_tree(path, names)))
    return path


def test_a_folder_of_more_names_than_can_be_held_is_refused(
    forge: GitHttpServer, flat: Path, use_git: bool, tmp_path: Path
) -> None:
    forge.root = flat.parent
    home = tmp_path / "home"
    told = check_out(home, f"{forge.url}/flat.git", use_git)
    assert told.words.startswith("TooLarge ")
    assert "more names than a checkout may have" in told.words
    assert told.mebibytes < 150 or not use_git  # dulwich holds in memory what it receives
    assert not any((home / "checkouts").iterdir())


def test_what_fits_is_the_same_with_both(
    forge: GitHttpServer, use_git: bool, tmp_path: Path
) -> None:
    path = bare(tmp_path / "origins" / "wide.git")
    tree = tower(path, 3)
    publish(path, commit_tree(path, tree))
    told = check_out(tmp_path / "home", f"{forge.url}/wide.git", use_git)
    assert told.words == "1000"


def test_without_git_a_file_that_is_too_large_is_refused_as_it_comes(
    forge: GitHttpServer,
    make_handler: MakeHandler,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(pack_watch, "LARGEST_OBJECT", 1 << 20)
    path = bare(tmp_path / "origins" / "zeros.git")
    publish(path, commit(path, {"zeros.bin": bytes(2 << 20)}))
    handler = make_handler(allowed=[forge.url], use_git=False)
    with pytest.raises(Permanent, match=r"more than 1 MiB, the most .*: install git"):
        handler.checkout(RepositoryRequest(f"{forge.url}/zeros.git")).__enter__()
    assert not list((tmp_path / "home").glob("repositories/*/*"))


@pytest.mark.slow
def test_no_program_holds_a_large_file_in_memory(forge: GitHttpServer, tmp_path: Path) -> None:
    path = bare(tmp_path / "origins" / "zeros.git")
    publish(path, commit(path, {"zeros.bin": bytes(260 << 20), "code/train.py": b"x"}))
    home = tmp_path / "home"
    told = check_out(home, f"{forge.url}/zeros.git", use_git=False)
    assert told.words.startswith("TooLarge ")
    assert "more than 256 MiB" in told.words
    assert told.mebibytes < 150
    assert not list(home.glob("repositories/*/*"))
    # Nor does the git program hold it, nor dulwich what that has brought.
    told = check_out(home, f"{forge.url}/zeros.git", True, "code")
    assert told.words == "1"
    assert told.mebibytes < 150
    assert "more than 256 MiB" in check_out(home, f"{forge.url}/zeros.git", use_git=False).words
