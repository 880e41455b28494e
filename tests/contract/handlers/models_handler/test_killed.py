"""A writer that is killed at any moment, and those who read meanwhile."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.handlers.models_handler.hosts import VOID_AFTER
from tests.contract.handlers.models_handler.places import Place, opened
from tests.contract.handlers.models_handler.some import MODEL

ROOT = Path(__file__).parents[4]


def program(*arguments: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.contract.handlers.models_handler.hosts",
        *map(str, arguments),
    ]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def survived(
    place: Place, folder: Path, promotions: int, size: int, readers: int, kills: int
) -> int:
    """How often a reader fetched a version. The writer is killed so often, then let finish."""
    chance = random.Random(7)
    reading = [program("read", place.where, folder / f"{each}") for each in range(readers)]
    store = opened(place.where, VOID_AFTER)
    for _ in range(kills):
        before = store.head(MODEL).taken
        writer = program("promote", place.where, promotions, size)
        while store.head(MODEL).taken == before and writer.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        writer.kill()
        writer.communicate()
    writer = program("promote", place.where, promotions, size)
    writer.communicate()
    assert writer.returncode == 0
    seen = [json.loads(each.communicate("")[0]) for each in reading]

    assert [each["wrong"] for each in seen] == [[]] * readers
    entries = list(store.log(MODEL))
    assert [int(entry.person or 0) for entry in entries] == list(range(promotions, 0, -1))
    for entry in entries[:10]:
        assert store.damaged(MODEL, entry.id) == []
    assert all(store.manifest(MODEL, entry.id) for entry in entries)
    return sum(each["fetched"] for each in seen)


@pytest.mark.parametrize("place", ["disk", "smb", "container"], indirect=True)
def test_no_reader_finds_what_is_not_whole(place: Place, tmp_path: Path) -> None:
    assert survived(place, tmp_path, promotions=20, size=300_000, readers=1, kills=2) > 2


@pytest.mark.slow
@pytest.mark.parametrize("place", ["container", "losing"], indirect=True)
def test_no_reader_of_a_container_does_however_often(place: Place, tmp_path: Path) -> None:
    assert survived(place, tmp_path, promotions=60, size=9 << 20, readers=2, kills=10) > 10


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "smb"], indirect=True)
def test_two_hundred_promotions_of_a_large_folder(place: Place, tmp_path: Path) -> None:
    assert survived(place, tmp_path, promotions=200, size=50 << 20, readers=4, kills=40) > 40
