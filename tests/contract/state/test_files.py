"""What `BuildFiles` promises, shown for every implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.files_handler import FolderFiles
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles
from tests.contract.state.conftest import Storage


@pytest.fixture(params=["folder", "blobs"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> BuildFiles:
    if request.param == "blobs":
        storage: Storage = request.getfixturevalue("storage")
        return storage.files()
    return FolderFiles(lambda key: tmp_path / "builds" / key)


def test_what_was_written_or_copied_is_read_and_listed(files: BuildFiles, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"copied")
    files.write("b", "result.json", b"one")
    files.write("b", "result.json", b"two")
    files.copy("b", "runs/a/outputs/model.pkl", tmp_path / "source")

    assert files.read("b", "result.json") == b"two"
    assert files.read("b", "runs/a/outputs/model.pkl") == b"copied"
    assert files.list("b") == ["result.json", "runs/a/outputs/model.pkl"]
    assert files.list("b", "runs/a") == ["runs/a/outputs/model.pkl"]
    assert files.list("b", "runs/a/outputs/model.pkl") == []
    assert files.list("other") == []
    assert "b" in files.location("b")


def test_what_is_not_there_reads_as_none(files: BuildFiles) -> None:
    files.write("b", "runs/a/log.txt", b"")

    assert files.read("b", "runs/a/log.txt") == b""
    assert files.read("b", "result.json") is None
    assert files.read("b", "runs/a") is None
    assert files.read("b", "runs/a/log.txt/more") is None
    assert files.read("other", "result.json") is None


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../other/result.json", "runs/../../x"])
def test_no_path_leaves_the_builds_folder(files: BuildFiles, path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        files.write("b", path, b"")


def test_a_place_that_cannot_be_written_can_be_mended_and_leaves_no_scratch(
    tmp_path: Path,
) -> None:
    builds = tmp_path / "builds"
    builds.write_text("a file in the way")
    with pytest.raises(Temporary, match="MLGATE_BUILDS"):
        FolderFiles(lambda _: builds / "b").write("b", "runs/a/log.txt", b"")
    with pytest.raises(Temporary, match="MLGATE_BUILDS"):
        FolderFiles(lambda _: builds).write("b", "runs/a/log.txt", b"")
    with pytest.raises(Temporary):
        FolderFiles(lambda _: tmp_path).copy("b", "log.txt", tmp_path / "missing")

    assert [path.name for path in tmp_path.iterdir()] == ["builds"]


@pytest.mark.parametrize("path", ["n" * 300, f"{'n' * 300}/file", "file/below", "folder"])
def test_a_name_that_no_file_can_have_there_is_refused_for_good(path: str, tmp_path: Path) -> None:
    files = FolderFiles(lambda _: tmp_path)
    files.write("b", "file", b"there")
    files.write("b", "folder/file", b"there")

    with pytest.raises(Permanent, match="No file of a build can have the name"):
        files.write("b", path, b"")

    assert files.list("b") == ["file", "folder/file"]
