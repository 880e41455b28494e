"""Links that multiply: bounded before they fill the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from handlers.repository_handler.client import TreeEntry
from handlers.repository_handler.export import Exporter, list_tree
from mlgate.orchestration.errors import Permanent


class Memory:
    """A `Client` whose blobs are their own names, and whose tree is given."""

    def __init__(self, files: dict[str, int | str]) -> None:
        """A number is a file's mode, a text what a link says."""
        self._files = files

    def tree(self, commit: str) -> Iterable[TreeEntry]:
        for path, what in self._files.items():
            mode, sha = (0o120000, what) if isinstance(what, str) else (what, path)
            yield TreeEntry(path.encode(), mode, sha)

    def write_blob(self, sha: str, sink: BinaryIO) -> None:
        sink.write(sha.encode())

    def list_refs(self, *names: str) -> Mapping[str, str]:
        raise NotImplementedError

    def fetch(self, shas: Sequence[str], depth: int) -> None:
        raise NotImplementedError

    def commit_of(self, sha: str) -> str | None:
        raise NotImplementedError

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:
        raise NotImplementedError

    def submodules(self, commit: str) -> Mapping[str, str]:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def export(
    files: dict[str, int | str], destination: Path, subdirectory: str = ".", limit: int = 1000
) -> Exporter:
    exporter = Exporter(list_tree(Memory(files), "commit").root, lfs=False, limit=limit)
    assert exporter.write(subdirectory, destination)
    return exporter


@pytest.mark.parametrize("bottom", [{"level19/file": 0o100644}, {"level19/file": "nowhere"}])
def test_links_that_double_at_each_level_are_stopped(
    tmp_path: Path, bottom: dict[str, int | str]
) -> None:
    files = bottom | {
        f"level{level}/{name}": f"../level{level + 1}" for level in range(19) for name in "ab"
    }
    with pytest.raises(Permanent, match="more than 1000 files"):
        export(files, tmp_path / "tree")


def test_a_link_longer_than_any_path_is_left_out(tmp_path: Path) -> None:
    exporter = export({"file": 0o100644, "link": "./" * 3000 + "file"}, tmp_path / "tree")
    assert exporter.files == ["file"]
    assert exporter.left_out == ["link"]


def test_a_link_to_the_folder_above_the_subdirectory_ends(tmp_path: Path) -> None:
    files: dict[str, int | str] = {"top": 0o100644, "sub/file": 0o100755, "sub/up": ".."}
    exporter = export(files, tmp_path / "tree", "sub")
    assert exporter.files == ["file", "up/top"]
    assert exporter.left_out == ["up/sub"]


def test_what_stays_a_pointer_or_is_left_out_is_counted_and_the_first_are_named(
    tmp_path: Path,
) -> None:
    exporter = export({f"l{number}": "/out" for number in range(7)}, tmp_path / "tree")
    [warning] = exporter.warnings()
    assert warning.startswith("Links")
    assert warning.endswith("(7: l0, l1, l2, l3, l4, ...).")
