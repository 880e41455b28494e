"""What a command line or message that cannot be followed gets: a sentence and exit code 2."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import commit, message, mlgate, processes_with, run


def test_an_invalid_message_gets_all_findings_and_starts_nothing(tmp_path: Path) -> None:
    path = message(
        tmp_path,
        "/nowhere",
        {"kind": "notebook", "path": "a.ipynb", "note_book": 1},
        {"kind": "training"},
        build_id="$(Build.BuildId)",
    )
    (tmp_path / ".mlgate").mkdir()
    done = run(tmp_path, path)

    assert done.code == 2
    assert not list((tmp_path / ".mlgate").iterdir())
    assert not processes_with(str(tmp_path / ".mlgate"))
    assert "Traceback" not in done.err
    assert "3 findings" in done.err
    assert "unknown-field" in done.err
    assert "missing-field" in done.err
    assert "unexpanded-variable" in done.err
    assert not done.output.exists()


def test_a_missing_message_is_a_usage_error(tmp_path: Path) -> None:
    done = mlgate(tmp_path, "run", "nothing.json")

    assert done.code == 2
    assert "nothing.json" in done.err


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        (
            "https://example.org/r",
            ["--repository", "."],
            "is not the top folder of a git repository",
        ),
        (
            "https://example.org/r",
            ["--repository", "missing"],
            "is not the top folder of a git repository",
        ),
        ("https://example.org/r", ["--repository", "repository/inside"], "subdirectory"),
        (
            "https://example.org/r",
            ["--repository", ".", "--worktree"],
            "is not the top folder of a git repository",
        ),
        ("https://example.org/r", ["--worktree"], "--repository PATH"),
        ("{folder}/missing", ["--worktree"], "is not in a git repository"),
        ("{folder}/bare", ["--worktree"], "is a bare repository"),
    ],
)
def test_a_folder_that_is_no_repository_is_a_usage_error(
    tmp_path: Path, repository: Path, command: str, url: str, options: list[str], sentence: str
) -> None:
    (repository / "inside").mkdir()
    (repository / "inside" / "keep.txt").write_text("")
    commit(repository)
    shutil.copytree(repository / ".git", tmp_path / "bare")
    subprocess.run(["git", "-C", tmp_path / "bare", "config", "core.bare", "true"], check=True)
    path = message(tmp_path, url.format(folder=tmp_path), {"kind": "training", "command": "true"})
    done = mlgate(tmp_path, command, path, *options)

    assert done.code == 2
    assert sentence in done.err


@pytest.mark.parametrize("place", ["file", "/proc/nowhere"])
def test_an_output_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, repository: Path, place: str
) -> None:
    (repository / "keep.txt").write_text("")
    commit(repository)
    (tmp_path / "file").write_text("")
    path = message(tmp_path, repository, {"kind": "training", "name": "t", "command": "true"})
    done = mlgate(tmp_path, "run", path, "--output", place)

    assert done.code == 2
    assert "--output" in done.err
