"""What a command line or message that cannot be followed gets: a sentence and exit code 2."""

from __future__ import annotations

import json
import os
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


@pytest.mark.parametrize("command", ["builds", "cancel", "promote"])
def test_a_build_whose_name_is_not_text_is_one_that_is_not_there(
    tmp_path: Path, command: str
) -> None:
    done = mlgate(tmp_path, command, os.fsdecode(b"\xff\xfe"))

    assert done.code == 3
    assert done.err.startswith("mlgate: there is no build")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MLGATE_HOME", "h" * 300, "File name too long"),
        ("MLGATE_HOME", "message.json", "File exists"),
        ("MLGATE_HOME", "/proc/mlgate", "/proc/mlgate cannot be written"),
        ("MLGATE_STATE", f"sqlite:{'h' * 300}", "File name too long"),
        ("MLGATE_BUILDS", "h" * 300, "File name too long"),
        ("MLGATE_PARALLEL", "9" * 5000, "is not a whole number"),
    ],
)
def test_a_setting_that_no_machine_can_follow_is_a_sentence(
    tmp_path: Path, repository: Path, name: str, value: str, sentence: str
) -> None:
    (repository / "keep.txt").touch()
    commit(repository)
    path = message(tmp_path, repository, {"kind": "training", "command": "true"})
    done = mlgate(tmp_path, "run", path, **{name: value})

    assert done.code == 3
    assert sentence in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("options", "warns"),
    [
        ([], False),  # the message's own `ref`
        (["--repository", "repository"], True),
        (["--repository", "repository", "--ref", "main"], True),
        (["--repository", "repository", "--worktree"], False),
    ],
)
def test_uncommitted_changes_of_the_repository_that_is_named_are_a_warning(
    tmp_path: Path, repository: Path, options: list[str], warns: bool
) -> None:
    (repository / "keep.txt").touch()
    commit(repository)
    (repository / "new.txt").touch()
    named = {"url": str(repository), "ref": "main"}
    path = message(tmp_path, named, {"kind": "training", "command": "true"})
    done = mlgate(tmp_path, "validate", path, *options)

    assert done.code == 0
    assert ("uncommitted changes" in done.err) == warns


def test_a_doctor_leaves_an_empty_folder_empty(tmp_path: Path, repository: Path) -> None:
    (repository / "keep.txt").touch()
    commit(repository)
    folder = tmp_path / "empty"
    folder.mkdir()
    allowed = {"MLGATE_ALLOWED_REPOSITORIES": str(repository)}
    done = mlgate(folder, "doctor", "--repository", repository, "--json", **allowed)

    checks = {each["name"]: each["status"] for each in json.loads(done.out)["checks"]}
    assert checks["repository-git"] == checks["repository-dulwich"] == "ok"
    assert [each.name for each in folder.iterdir()] == ["home"]  # the test's
