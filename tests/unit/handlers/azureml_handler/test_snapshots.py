"""What of a checkout is uploaded, and under which name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from handlers.azureml_handler.snapshots import Snapshot, code_name, files_of
from mlgate.launcher.archive import archive
from mlgate.orchestration.errors import Permanent

BESIDE = {"launcher.pyz", "executable.json"}
ODD = ("--help", "-rf", "a b.txt", "ü#?%41&+.txt", ".hidden", "*", "deep/.gitignore", "empty")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in ODD:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_every_regular_file_is_taken_whatever_its_name(tree: Path, place: Path) -> None:
    for name in BESIDE:
        (tree / name).write_text("a file of the repository takes nobody's place")
    found = files_of(tree, place)
    assert set(found) == {f"tree/{name}" for name in (*ODD, *BESIDE)} | BESIDE
    assert found["launcher.pyz"].read_bytes() == archive()
    assert found["tree/-rf"].read_text() == "-rf"


def test_nothing_is_taken_that_is_no_file_of_the_tree(tree: Path, place: Path) -> None:
    before = set(files_of(tree, place))
    (tree.parent / "secret").write_text("secret")
    (tree / "link").symlink_to(tree.parent / "secret")
    (tree / "folder").symlink_to(tree.parent)
    (tree / "loop").symlink_to(tree)
    (tree / "nowhere").symlink_to("/nowhere")
    os.mkfifo(tree / "pipe")
    for folder in (".git", "deep/.git"):
        (tree / folder).mkdir()
        (tree / folder / "config").write_text("url = https://token@example.org")
    (tree / "module").mkdir()
    (tree / "module" / ".git").write_text("gitdir: /home/somebody/.git/modules/module")
    assert set(files_of(tree, place)) == before


@pytest.mark.parametrize("name", ["a\\b", "..\\launcher.pyz"])
def test_a_name_that_storage_would_read_as_a_path_is_refused(
    tree: Path, place: Path, name: str
) -> None:
    (tree / name).write_text("elsewhere")
    with pytest.raises(Permanent, match=r"cannot keep, '.*'. Rename it"):
        files_of(tree, place)


def test_which_files_are_executable_is_told_beside_them(tree: Path, place: Path) -> None:
    before = code_name(files_of(tree, place))
    for name in ("a b.txt", "deep/.gitignore"):
        (tree / name).chmod(0o755)
    files = files_of(tree, place)
    assert json.loads(files["executable.json"].read_text()) == ["a b.txt", "deep/.gitignore"]
    assert code_name(files) != before


def test_the_name_stands_for_paths_and_content_alone(tree: Path, place: Path) -> None:
    name = code_name(files_of(tree, place))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name)
    moved = tree.rename(tree.with_name("elsewhere"))
    os.utime(moved / "empty", (0, 0))
    assert code_name(files_of(moved, place)) == name
    (moved / "empty").write_text("not empty")
    assert code_name(files_of(moved, place)) != name


def test_the_same_bytes_in_other_places_are_another_name(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("x")
    (tmp_path / "2").write_text("")
    one, two = tmp_path / "1", tmp_path / "2"
    names = [
        code_name(files) for files in ({"a": one, "b": two}, {"a": two, "b": one}, {"ab": one})
    ]
    assert len(set(names)) == 3
    assert code_name({"b": two, "a": one}) == names[0]


def test_what_was_staged_survives_as_a_word() -> None:
    staged = Snapshot("/codes/a", "c" * 40, "https://example.org/r.git", None, {"k": "azureml:m:1"})
    assert Snapshot.read(staged.word()) == staged
    assert "\n" not in staged.word()
