"""Objects that are too large are seen by their first bytes, however the pack comes in."""

from __future__ import annotations

import random
import subprocess
import zlib
from pathlib import Path

import pytest
from dulwich.repo import Repo

from handlers.repository_handler.object_sizes import size_of
from handlers.repository_handler.pack_watch import PackWatch
from handlers.repository_handler.trees import TooLarge
from tests.contract.handlers.repository_handler.origins import Content, bare, commit, git, point
from tests.servers.git_http import NEUTRAL

SIZES = {"small": 10, "middle": 5_000, "large": 70_000, "similar": 70_005, "zeros": 300_000}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A repository with one pack, with deltas of both kinds or none, and that pack."""
    path = bare(tmp_path_factory.mktemp("packed") / "a.git")
    noise = random.Random(7).randbytes(80_000)
    files: dict[str, Content] = {
        name: bytes(size) if name == "zeros" else noise[:size] for name, size in SIZES.items()
    }
    point(path, "refs/heads/main", commit(path, files))
    git(path, "repack", "-a", "-d", "-q", "--depth=5", "--window=10")
    [file] = (path / "objects" / "pack").glob("*.pack")
    return path, file.read_bytes()


@pytest.mark.parametrize("piece", [1, 7, 4096, 1 << 20])
def test_a_pack_is_passed_over_whatever_the_pieces(packed: tuple[Path, bytes], piece: int) -> None:
    _, pack = packed
    for most, refused in ((300_000, False), (299_999, True)):
        watch = PackWatch(most)
        try:
            for start in range(0, len(pack), piece):
                watch.feed(pack[start : start + piece])
        except TooLarge:
            assert refused
        else:
            assert not refused


@pytest.mark.parametrize("kind", [6, 7])
def test_a_delta_counts_by_what_it_makes(kind: int) -> None:
    delta = b"\x0a" + b"\x80\x80\x80\x80\x80\x20"  # from 10 bytes 2 ** 40
    base = b"\x05" if kind == 6 else bytes(20)
    entry = bytes([kind << 4 | len(delta)]) + base + zlib.compress(delta)
    pack = b"PACK\x00\x00\x00\x02\x00\x00\x00\x01" + entry
    with pytest.raises(TooLarge, match="install git"):
        PackWatch(1 << 30).feed(pack)


@pytest.mark.parametrize("noise", [b"", b"PACK", b"null" * 100, b"PACK\0\0\0\2\0\0\0\1\x35garbage"])
def test_what_is_no_pack_is_left_to_who_reads_it(noise: bytes) -> None:
    watch = PackWatch(1 << 20)
    watch.feed(noise)
    watch.feed(b"more")


@pytest.mark.parametrize("how", ["packed", "loose"])
def test_sizes_are_those_that_git_tells(
    packed: tuple[Path, bytes], tmp_path: Path, how: str
) -> None:
    path, pack = packed
    if how == "loose":
        path = bare(tmp_path / "loose.git")
        subprocess.run(
            ["git", "unpack-objects", "-q"], cwd=path, input=pack, env=NEUTRAL, check=True
        )
    listed = git(
        path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)"
    )
    told = {line.split()[0]: int(line.split()[1]) for line in listed.splitlines()}
    with Repo(path) as repository:
        assert {sha: size_of(repository.object_store, sha) for sha in told} == told
        with pytest.raises(KeyError):
            size_of(repository.object_store, "1" * 40)
    assert set(SIZES.values()) <= set(told.values())
