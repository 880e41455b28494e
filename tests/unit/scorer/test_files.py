"""A model's files: copied once, hashed on the way, and never by a link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mlgate.scorer.errors import Unusable
from mlgate.scorer.files import Part, copied, hashed, listed, read_bounded


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "MLmodel").write_bytes(b"m")
    (folder / "deep" / "large").write_bytes(b"x" * 3_000_000)
    return folder


def test_a_copy_has_the_same_files_with_size_and_hash(model: Path, tmp_path: Path) -> None:
    names, others = listed(model)
    parts = copied(model, names, tmp_path / "copy")

    assert (names, others) == (["MLmodel", "deep/large"], [])
    assert parts == [
        Part("MLmodel", 1, hashlib.sha256(b"m").hexdigest()),
        Part("deep/large", 3_000_000, hashlib.sha256(b"x" * 3_000_000).hexdigest()),
    ]
    assert hashed(tmp_path / "copy") == parts


def test_a_change_of_any_kind_is_seen(model: Path) -> None:
    before = hashed(model)
    (model / "new").touch()
    assert hashed(model) != before
    (model / "new").unlink()
    (model / "MLmodel").write_bytes(b"n")
    assert hashed(model) != before


@pytest.mark.parametrize("target", ["MLmodel", "/etc/passwd", "nowhere", "deep"])
def test_a_link_is_listed_apart_and_refused(model: Path, tmp_path: Path, target: str) -> None:
    (model / "link").symlink_to(target)

    assert listed(model)[1] == ["link"]
    with pytest.raises(Unusable, match="link is a link"):
        copied(model, ["link"], tmp_path / "copy")
    with pytest.raises(Unusable):
        hashed(model)


def test_a_pipe_holds_nobody_up(model: Path, tmp_path: Path) -> None:
    os.mkfifo(model / "pipe")

    with pytest.raises(Unusable, match="pipe is not a file"):
        copied(model, ["pipe"], tmp_path / "copy")


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "a\udcff"])
def test_a_name_that_not_every_store_can_keep_is_refused(
    model: Path, tmp_path: Path, name: str
) -> None:
    (model / name).touch()

    with pytest.raises(Unusable, match="rename it"):
        copied(model, [name], tmp_path / "copy")


def test_what_is_too_large_is_not_read(model: Path) -> None:
    assert read_bounded(model / "MLmodel", 1) == b"m"
    assert read_bounded(model / "deep" / "large", 2_999_999) is None
