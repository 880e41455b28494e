"""What `--output` removes: an earlier build's files, and nothing else whatever it is called."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from handlers.files_handler import FolderFiles
from mlgate.hosts.output import prepared
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.errors import Permanent

JUNIT = "<?xml version='1.0' encoding='utf-8'?>\n<testsuites name=\"mlgate 7\" tests=\"1\" />\n"
PAGE = '<!doctype html>\n<html lang="en"><head><title>Failed: build 7</title></head></html>\n'
PYTEST = (
    '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" /></testsuites>'
)


def result(*names: str, **outputs: list[str]) -> str:
    runs = [
        {
            "name": name,
            "kind": "training" if name == "train" else "notebook",
            "outputs": outputs.get(name, [f"runs/{name}/outputs/model.bin"]),
        }
        for name in names
    ]
    return json.dumps({"version": 1, "verdict": "failed", "runs": runs})


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


def left(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def clear(folder: Path) -> None:
    """Begin a build there that never writes anything."""
    with prepared(folder):
        pass


OURS = {
    "result.json": result("train", "report"),
    "junit.xml": JUNIT,
    "report.html": PAGE,
    "runs/train/log.txt": "a",
    "runs/train/outputs/model.bin": "b",
    "runs/report/log.txt": "c",
    "runs/report/executed.ipynb": "{}",
    "runs/report/executed.html": "<p>",
}
THEIRS = {
    "train.py": "x",
    "runs/exp1/events.out.tfevents.1": "months",
    "runs/train/events.out.tfevents.2": "beside ours",
    "runs/notes.txt": "n",
}


def test_an_earlier_build_goes_and_what_lies_beside_it_stays(tmp_path: Path) -> None:
    fill(tmp_path, OURS | THEIRS)
    clear(tmp_path)
    assert left(tmp_path) == THEIRS
    assert not (tmp_path / "runs" / "report").exists()


def test_a_folder_of_an_earlier_build_alone_is_empty_afterwards(tmp_path: Path) -> None:
    fill(tmp_path, OURS)
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "others",
    [
        {"junit.xml": PYTEST},
        {"junit.xml": ""},
        {"report.html": "<!doctype html><title>coverage</title>"},
        {"result.json": "[1]"},
        {"result.json": "not json"},
        {"result.json": '{"version": 1, "runs": []}'},
        {"result.json": '{"version": 2, "verdict": "failed", "runs": []}'},
        {"result.json": '{"version": 1, "verdict": "failed", "runs": {"a": 1}}'},
        {"result.json": '{"version": 1, "verdict": "failed", "runs": [{"name": "../x"}]}'},
        {"result.json": "[" * 100_000},
        OURS | {"junit.xml": PYTEST},
        OURS | {"result.json": "{}"},
        {"junit.xml/a": "a folder"},
        {"result.json/a": "a folder"},
        {"runs/t/log.txt": "of others"},
        {"runs/t/executed.ipynb": "of others"},
        {"runs/t/executed.html/a": "a folder"},
        {"runs/t/outputs/deep/model.bin": "of others"},
        OURS | {"runs/train/executed.html": "of others, beside a training's"},
        OURS | {"runs/train/outputs/other.bin": "of others"},
        OURS | {"runs/exp1/log.txt": "of others"},
    ],
)
def test_files_of_others_where_ours_would_go_are_a_usage_error_and_stay(
    tmp_path: Path, others: dict[str, str]
) -> None:
    fill(tmp_path, others | THEIRS)
    with pytest.raises(UsageError, match=r"--output .* that mlgate did not write; move"):
        clear(tmp_path)
    assert left(tmp_path) == others | THEIRS


def test_a_result_that_lists_other_files_removes_none_of_them(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    listed = [
        "train.py",
        "runs/exp1/events.out.tfevents.1",
        "runs/t/../exp1/events.out.tfevents.1",
        f"{elsewhere}/precious",
        "../elsewhere/precious",
        "runs/t/link/precious",
    ]
    fill(folder, THEIRS | {"result.json": result("t", "u", t=listed)})
    fill(elsewhere, {"precious": "p", "log.txt": "l"})
    (folder / "runs" / "t").mkdir()
    (folder / "runs" / "t" / "link").symlink_to(elsewhere)
    (folder / "runs" / "u").symlink_to(elsewhere)
    clear(folder)
    assert left(elsewhere) == {"precious": "p", "log.txt": "l"}
    assert left(folder) == THEIRS


def test_a_linked_folder_of_others_is_not_written_through(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    fill(elsewhere, {"log.txt": "l"})
    (project / "runs").mkdir(parents=True)
    (project / "runs/t").symlink_to(elsewhere)
    with pytest.raises(UsageError, match=r"runs/t/log\.txt that mlgate did not write"):
        clear(project)
    assert left(elsewhere) == {"log.txt": "l"}


def build(folder: Path, files: dict[str, str], *, killed: bool = False) -> list[str]:
    """A build that writes these files, `result.json` last unless it is killed; those refused."""
    refused = []
    with suppress(KeyboardInterrupt), prepared(folder) as output:
        writer = FolderFiles(lambda _: output.folder, output.claim)
        for name, content in files.items():
            try:
                writer.write("", name, content.encode())
            except Permanent:
                refused.append(name)
        if killed:
            raise KeyboardInterrupt
    return refused


def test_what_a_killed_build_wrote_is_ours_whatever_comes_next(tmp_path: Path) -> None:
    fill(tmp_path, THEIRS)
    first = {"runs/t/log.txt": "a", "runs/t/outputs/model.bin": "b", "runs/gone/log.txt": "g"}
    assert build(tmp_path, first, killed=True) == []
    assert left(tmp_path).items() >= (THEIRS | first).items()

    (tmp_path / "runs/t/outputs/.mlgate-0123").write_text("half a copy")
    second = {"runs/t/log.txt": "c", "result.json": result("t", t=[])}
    for _ in range(3):
        assert build(tmp_path, second) == []
        found = left(tmp_path)
        found.pop("runs/t/outputs/.mlgate-0123", None)
        assert found == THEIRS | second


def test_what_an_earlier_attempt_wrote_is_removed_with_the_result(tmp_path: Path) -> None:
    listed = result("t", t=["runs/t/outputs/second"])
    files = {"runs/t/outputs/first": "1", "runs/t/outputs/second": "2", "result.json": listed}
    for _ in range(2):
        assert build(tmp_path, files) == []
        assert left(tmp_path).keys() == {"runs/t/outputs/second", "result.json"}


@pytest.mark.parametrize("killed", [False, True])
def test_files_of_others_are_never_replaced_killed_or_not(tmp_path: Path, killed: bool) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    theirs = THEIRS | {"runs/train/model.pkl": "mine"}
    fill(project, theirs)
    fill(elsewhere, {"x.csv": "precious"})
    (project / "runs/train/data").symlink_to(elsewhere)
    files = {"runs/train/log.txt": "l", "runs/train/model.pkl": "ours"}
    files |= {"runs/train/data/x.csv": "ours", "runs/train/data/new.csv": "ours"}
    for _ in range(3):
        refused = build(project, files | {"result.json": result("train", train=[])}, killed=killed)
        assert refused == list(files)[1:]
        assert left(project).items() >= theirs.items()
        assert left(elsewhere) == {"x.csv": "precious"}


def test_a_folder_in_use_is_a_usage_error(tmp_path: Path) -> None:
    with prepared(tmp_path) as output:
        output.claim(output.folder / "runs/t/log.txt")
        with pytest.raises(UsageError, match="is in use by another"):
            clear(tmp_path)
    assert left(tmp_path)[".mlgate-files"] == '"runs/t/log.txt"\n'


def test_a_list_that_others_wrote_removes_nothing_outside_the_runs(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    fill(elsewhere, {"precious": "p"})
    names = [f"{elsewhere}/precious", "../elsewhere/precious", "runs/../../elsewhere/precious"]
    names += ["train.py", "runs/link/precious"]
    lines = [json.dumps(name) for name in names] + ["[" * 100_000, "7", '"runs/torn']
    fill(project, {**THEIRS, ".mlgate-files": "\n".join(lines)})
    (project / "runs/link").symlink_to(elsewhere)
    clear(project)
    assert left(elsewhere) == {"precious": "p"}
    assert left(project) == THEIRS


def test_a_list_that_is_a_link_is_a_usage_error_and_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("p")
    (tmp_path / "output").mkdir()
    (tmp_path / "output/.mlgate-files").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="cannot be written"):
        clear(tmp_path / "output")
    assert (tmp_path / "precious").read_text() == "p"


def test_runs_that_are_a_link_are_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "output").mkdir()
    (tmp_path / "output/runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="has runs, a link, that mlgate did not write"):
        clear(tmp_path / "output")


def test_a_build_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    build(tmp_path, {}, killed=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    clear(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.fixture
def log_level() -> Iterator[None]:
    log = logging.getLogger("mlgate")
    level = log.level
    yield
    log.setLevel(level)


@pytest.mark.usefixtures("log_level")
@pytest.mark.parametrize("content", [{"version": 3}, {"version": 1, "repository": {"url": "/r"}}])
def test_an_invalid_message_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
) -> None:
    from mlgate.hosts import cli
    from mlgate.hosts.exit_codes import INVALID

    monkeypatch.chdir(tmp_path)
    fill(tmp_path, OURS | THEIRS | {"message.json": json.dumps(content)})
    assert cli.main(["run", "message.json", "--output", "."]) == INVALID
    assert left(tmp_path).keys() == (OURS | THEIRS).keys() | {"message.json"}
