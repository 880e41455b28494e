"""What `BuildFiles` promises, shown for every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.files_handler import FolderFiles
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from tests.contract.handlers.state_handler.conftest import Storage
from tests.contract.handlers.state_handler.disks import BROKEN, UNREADABLE, UNWRITABLE, a_full_disk


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


@pytest.mark.parametrize("path", ["result.json", "runs/a", "runs/a/log.txt/more", "n" * 300])
def test_what_is_not_there_reads_as_none(files: BuildFiles, path: str) -> None:
    files.write("b", "runs/a/log.txt", b"")

    assert files.read("b", path) is None
    assert files.read("other", path) is None
    assert files.tail("b", path, 10) == b""


def test_content_comes_in_parts(files: BuildFiles) -> None:
    files.write("b", "junit.xml", (f"{number}\n".encode() for number in range(1000)))
    files.write("b", "runs/a/log.txt", [])

    assert files.read("b", "junit.xml") == b"".join(f"{n}\n".encode() for n in range(1000))
    assert files.read("b", "runs/a/log.txt") == b""


class Unforeseen(BaseException):
    """Nothing that anybody catches."""


@pytest.mark.parametrize(
    "error",
    [Temporary("not now"), ValueError("a bug"), OSError(5, "not of this file"), Unforeseen()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("earlier", [b"old", None])
def test_what_making_the_parts_raises_leaves_the_old_file(
    files: BuildFiles, earlier: bytes | None, error: BaseException
) -> None:
    if earlier is not None:
        files.write("b", "report.html", earlier)

    def parts() -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(type(error)) as raised:
        files.write("b", "report.html", parts())

    assert raised.value is error
    assert files.read("b", "report.html") == earlier
    assert files.list("b") == ([] if earlier is None else ["report.html"])


def test_a_file_of_more_than_asked_for_is_not_read(files: BuildFiles) -> None:
    files.write("b", "log.txt", b"12345")

    assert files.read("b", "log.txt", most=5) == b"12345"
    assert files.read("b", "log.txt", most=4) is None
    assert files.read("b", "log.txt", most=0) is None


@pytest.mark.parametrize(("most", "end"), [(0, b""), (2, b"45"), (5, b"12345"), (9, b"12345")])
def test_the_end_of_a_file_is_read_alone(files: BuildFiles, most: int, end: bytes) -> None:
    files.write("b", "log.txt", b"12345")
    files.write("b", "empty.txt", b"")

    assert files.tail("b", "log.txt", most) == end
    assert files.tail("b", "empty.txt", most) == b""


def test_a_file_of_the_same_disk_takes_no_room_a_second_time(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"model")
    FolderFiles(lambda build: tmp_path / "builds" / build).copy("b", "m", tmp_path / "source")
    assert (tmp_path / "builds" / "b" / "m").samefile(tmp_path / "source")


def test_what_is_being_written_is_not_listed(tmp_path: Path) -> None:
    files = FolderFiles(lambda _: tmp_path)

    def parts() -> Iterator[bytes]:
        yield b"half"
        assert len(list(tmp_path.iterdir())) == 1
        assert files.list("b") == []

    files.write("b", "junit.xml", parts())

    assert files.list("b") == ["junit.xml"]


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


@pytest.mark.parametrize(
    "path", ["n" * 300, f"{'n' * 300}/file", "file/below", "folder", "a\0b", "a/\ud800/b"]
)
def test_a_name_that_no_file_can_have_there_is_refused_for_good(path: str, tmp_path: Path) -> None:
    files = FolderFiles(lambda _: tmp_path)
    files.write("b", "file", b"there")
    files.write("b", "folder/file", b"there")

    with pytest.raises(Permanent, match="No file of a build can have the name"):
        files.write("b", path, b"")

    assert files.list("b") == ["file", "folder/file"]


def test_a_right_that_is_missing_is_this_hosts_own_fault(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"")
    files = FolderFiles(lambda _: UNWRITABLE)

    with pytest.raises(UnfitHost, match="MLGATE_BUILDS"):
        files.write("b", "junit.xml", b"")
    with pytest.raises(UnfitHost, match="MLGATE_BUILDS"):
        files.copy("b", "junit.xml", tmp_path / "source")


def test_a_disk_that_fails_can_be_mended() -> None:
    files = FolderFiles(lambda _: BROKEN)

    with pytest.raises(Temporary, match="cannot be read"):
        files.read("b", UNREADABLE)
    with pytest.raises(Temporary, match="cannot be read"):
        files.tail("b", UNREADABLE, 1)


def test_a_disk_that_is_full_can_be_freed_and_keeps_the_old_file(tmp_path: Path) -> None:
    files = FolderFiles(lambda _: tmp_path)
    files.write("b", "junit.xml", b"old")

    with a_full_disk(), pytest.raises(Temporary, match="MLGATE_BUILDS"):
        files.write("b", "junit.xml", (bytes(1 << 18) for _ in range(8)))

    assert files.read("b", "junit.xml") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["junit.xml"]
