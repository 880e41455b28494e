"""Links that multiply: bounded before they fill the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import pytest

from handlers.repository_handler.export import Exporter, Most
from handlers.repository_handler.trees import Reading, Source
from mlgate.orchestration.errors import Permanent

Files: TypeAlias = dict[str, int | str]


class Memory:
    """A `Client` whose blobs are their own names, and whose tree is given."""

    def __init__(self, files: Files) -> None:
        """A number is a file's mode, a text what a link says."""
        self._objects = dict[str, bytes]()
        self._root = self._store(files)

    def _store(self, files: Files) -> str:
        entries: dict[str, tuple[int, str]] = {}
        below: dict[str, Files] = {}
        for path, what in files.items():
            name, _, rest = path.partition("/")
            if rest:
                below.setdefault(name, {})[rest] = what
            elif isinstance(what, str):
                entries[name] = 0o120000, self._put(what.encode())
            else:
                entries[name] = what, self._put(path.encode())
        entries |= {name: (0o40000, self._store(inner)) for name, inner in below.items()}
        return self._put(
            b"".join(
                b"%o %s\0" % (mode, name.encode()) + bytes.fromhex(sha)
                for name, (mode, sha) in entries.items()
            )
        )

    def _put(self, content: bytes) -> str:
        sha = f"{len(self._objects):040x}"
        self._objects[sha] = content
        return sha

    def tree_of(self, commit: str) -> str:
        return self._root

    def read(self, sha: str, kind: str, most: int) -> bytes | None:
        content = self._objects[sha]
        return content if len(content) <= most else None

    def sizes(self, shas: Sequence[str]) -> Sequence[int]:
        return [len(self._objects[sha]) for sha in shas]

    def write_blob(self, sha: str, sink: BinaryIO) -> None:
        sink.write(self._objects[sha])

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
    files: Files,
    destination: Path,
    subdirectory: str = ".",
    most: Most | None = None,
    steps: int = 10_000_000,
) -> Exporter:
    source = Source(Memory(files), "commit", Reading(steps))
    exporter = Exporter(source.root(), most=most or Most(paths=1000))
    try:
        assert exporter.write(subdirectory, destination)
    except Permanent:
        assert not destination.exists()
        raise
    return exporter


@pytest.mark.parametrize("bottom", [{"level19/file": 0o100644}, {"level19/file": "nowhere"}])
def test_links_that_double_at_each_level_are_stopped(tmp_path: Path, bottom: Files) -> None:
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
    files: Files = {"top": 0o100644, "sub/file": 0o100755, "sub/up": ".."}
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


def test_what_is_outside_the_subdirectory_costs_nothing_until_a_link_leads_there(
    tmp_path: Path,
) -> None:
    files: Files = {f"data/{number}": 0o100644 for number in range(2000)}
    files |= {"code/train.py": 0o100644, "more/all": "../data"}
    assert export(files, tmp_path / "code", "code").files == ["train.py"]
    with pytest.raises(Permanent, match="more than 1000 files"):
        export(files, tmp_path / "more", "more")


def test_bytes_are_counted_before_any_is_written(tmp_path: Path) -> None:
    files: Files = {f"{number}": 0o100644 for number in range(100)}
    export(files, tmp_path / "fits", most=Most(size=101 * 4096))
    with pytest.raises(Permanent, match="MiB of files"):
        export(files, tmp_path / "tree", most=Most(size=101 * 4096 - 1))


def test_folders_deeper_than_any_project_are_refused(tmp_path: Path) -> None:
    assert export({"d/" * 199 + "f": 0o100644}, tmp_path / "fits").files
    with pytest.raises(Permanent, match="more than 200 deep"):
        export({"d/" * 200 + "f": 0o100644}, tmp_path / "tree")


def test_links_that_are_long_and_many_are_not_followed_for_ever(tmp_path: Path) -> None:
    files: Files = {f"l{number}": "./" * 1000 + "file" for number in range(100)} | {
        "file": 0o100644
    }
    assert len(export(files, tmp_path / "fits").files) == 101
    with pytest.raises(Permanent, match="more or longer links"):
        export(files, tmp_path / "tree", steps=50_000)
