"""What `--output` removes: an earlier build's files, and nothing else whatever it is called."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgate.hosts.output import prepare
from mlgate.hosts.usage import UsageError

JUNIT = "<?xml version='1.0' encoding='utf-8'?>\n<testsuites name=\"mlgate 7\" tests=\"1\" />\n"
PAGE = '<!doctype html>\n<html lang="en"><head><title>Failed: build 7</title></head></html>\n'
PYTEST = (
    '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" /></testsuites>'
)


def result(*names: str, **outputs: list[str]) -> str:
    runs = [
        {"name": name, "outputs": outputs.get(name, [f"runs/{name}/outputs/model.bin"])}
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
    prepare(tmp_path)
    assert left(tmp_path) == THEIRS
    assert not (tmp_path / "runs" / "report").exists()


def test_a_folder_of_an_earlier_build_alone_is_empty_afterwards(tmp_path: Path) -> None:
    fill(tmp_path, OURS)
    prepare(tmp_path)
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
    ],
)
def test_files_of_others_where_ours_would_go_are_a_usage_error_and_stay(
    tmp_path: Path, others: dict[str, str]
) -> None:
    fill(tmp_path, others | THEIRS)
    with pytest.raises(UsageError, match=r"--output .* that mlgate did not write; move"):
        prepare(tmp_path)
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
    prepare(folder)
    assert left(elsewhere) == {"precious": "p", "log.txt": "l"}
    assert left(folder) == THEIRS


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b")
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
