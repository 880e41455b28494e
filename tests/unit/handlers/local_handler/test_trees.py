"""Trees are copied apart, appear whole, and go whole."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from handlers.local_handler import trees
from handlers.local_handler.handler import LocalHandler
from handlers.local_handler.snapshots import KEPT, Snapshots
from handlers.local_handler.staging import IDLE


def test_a_copy_has_the_content_and_permissions_and_shares_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "script.sh").write_bytes(b"#!" + bytes(range(256)) * 5000)
    (source / "sub" / "script.sh").chmod(0o755)
    (source / "empty").touch()
    trees.copy_tree(source, target)
    copied = target / "sub" / "script.sh"
    assert copied.read_bytes() == (source / "sub" / "script.sh").read_bytes()
    assert stat.S_IMODE(copied.stat().st_mode) == 0o755
    assert copied.stat().st_nlink == 1
    copied.write_text("changed")
    assert (source / "sub" / "script.sh").read_bytes()[:2] == b"#!"
    assert (target / "empty").read_bytes() == b""


@pytest.mark.skipif(shutil.which("chattr") is None, reason="e2fsprogs is not installed")
def test_attempts_are_placed_apart_where_the_file_system_can(tmp_path: Path) -> None:
    """As by `chattr +T`, which some file systems refuse."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    subprocess.run(["chattr", "+T", theirs], capture_output=True, check=False)
    for _ in range(2):
        LocalHandler(home=tmp_path / "home", parallel=1).close()
    ours = tmp_path / "home" / "attempts"
    listed = subprocess.run(["lsattr", "-d", ours, theirs], capture_output=True, check=False)
    flags = [line.split()[0] for line in listed.stdout.splitlines()]
    assert flags == flags[:1] * len(flags)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_what_cannot_be_spread_is_left(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("content")
    trees.spread(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_first_to_finish_gives_the_name(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for content, first in (("one", True), ("other", False)):
        made = trees.new_name(target)
        made.mkdir()
        (made / "file").write_text(content)
        assert trees.appear(made, target) is first
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (target / "file").read_text() == "one"


def test_what_was_abandoned_is_swept_and_what_is_being_made_is_not(tmp_path: Path) -> None:
    old, new = trees.new_name(tmp_path / "x"), trees.new_name(tmp_path / "x")
    for folder in (old, new, tmp_path / "other"):
        (folder / "sub").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    for folder in (old, tmp_path / "other"):
        os.utime(folder, (yesterday, yesterday))
    trees.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {new.name, "other"}


def test_snapshots_used_longest_ago_are_removed_unless_needed_or_used_of_late(
    tmp_path: Path,
) -> None:
    snapshots = Snapshots(tmp_path)
    for number in range(KEPT + 3):
        (tmp_path / f"s{number}").mkdir()
        age = IDLE + 1000 - number
        os.utime(tmp_path / f"s{number}", (time.time() - age, time.time() - age))
    snapshots.prune(needed={"s1"})
    gone = {"s0", "s2"}
    assert {path.name for path in tmp_path.iterdir()} == (
        {f"s{number}" for number in range(KEPT + 3)} - gone
    )
    for number in range(20, 40):
        (tmp_path / f"s{number}").mkdir()
    (tmp_path / "s5").rename(tmp_path / "old")
    assert snapshots.use("old") == tmp_path / "old"
    snapshots.prune(needed=set())
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"old"} | {f"s{number}" for number in range(20, 40)}
