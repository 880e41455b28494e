"""Which of a run's files are taken over, and what is remembered of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlgate.orchestration.backends.keeping import (
    MOST_BYTES,
    MOST_FILES,
    MOST_NAMES,
    Chosen,
    choose,
    take_over,
)
from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.runs import Attempt, Outcome, RunKind, RunSpec, RunStatus, Task
from tests.support.memory import MemoryFiles

TASK = Task(Attempt("b" * 32, "a", 1), RunSpec("a", RunKind.TRAINING, command="x"), "", "7")


def test_the_evidence_goes_first_and_nothing_but_it_and_what_was_kept() -> None:
    sizes = dict.fromkeys(["kept/b", "kept/a/z", "executed.html", "outcome.json", "log.txt"], 1)
    assert choose(sizes) == Chosen(("log.txt", "executed.html", "kept/a/z", "kept/b"))


@pytest.mark.parametrize(
    ("sizes", "left", "names"),
    [
        ({"log.txt": 10, "kept/a": 90}, [], ""),
        ({"log.txt": 11, "kept/a": 90}, ["kept/a"], "1 file was left out.*: a."),
        ({"log.txt": 101, "kept/a": 1}, ["log.txt"], "1 file was left out.*: log.txt."),
        ({"kept/a": 60, "kept/b": 60, "kept/c": 40}, ["kept/b"], "1 file was left out.*: b."),
        (
            {f"kept/{number}": 101 for number in range(5)},
            [f"kept/{number}" for number in range(5)],
            "5 files were left out.*: 0, 1, 2 and 2 more.",
        ),
        (
            {"kept/a\nb": 500, "kept/log.txt": 500},
            ["kept/a\nb", "kept/log.txt"],
            r"names are not text: 'a\\nb'\.|reports use these names: log.txt\.",
        ),
        (
            {
                "kept/log.txt/a": 1,
                "kept/executed.html/b/c": 1,
                "kept/Log.TXT": 1,
                "kept/x/log.txt": 1,
            },
            ["kept/Log.TXT", "kept/executed.html/b/c", "kept/log.txt/a"],
            "^3 files were left out because .*: Log.TXT, executed.html/b/c, log.txt/a",
        ),
        (
            {"kept/a": 1, "kept/a/b": 1, "kept/c": 1, "kept/c/d/e": 1, "kept/c.d": 1},
            ["kept/a", "kept/c"],
            "2 files were left out because folders have these names too: a, c.",
        ),
    ],
)
def test_what_is_too_large_or_cannot_be_beside_the_rest_is_left_and_named(
    sizes: dict[str, int], left: list[str], names: str
) -> None:
    chosen = choose(sizes, most=100, elsewhere="See there.")
    assert sorted({*sizes} - {*chosen.paths}) == left
    assert bool(chosen.warnings) is bool(left)
    for warning in chosen.warnings:
        assert re.search(names, warning)
        assert warning.endswith("See there.") is ("too large" in warning)


def test_a_run_that_fills_disks_is_not_taken_over_whole() -> None:
    sizes = {f"kept/{number}": 1 << 30 for number in range(500)}
    chosen = choose(sizes)
    assert sum(sizes[path] for path in chosen.paths) == MOST_BYTES


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ([f"kept/{number}" for number in range(MOST_FILES + 7)], MOST_FILES),
        ([f"kept/{number:04}{'x' * 1_000}" for number in range(2_000)], MOST_NAMES // 1_009),
    ],
    ids=["too many", "too long together"],
)
def test_of_more_names_than_a_build_remembers_the_first_are_kept_and_the_rest_counted(
    names: list[str], kept: int
) -> None:
    chosen = choose(dict.fromkeys(["log.txt", *names], 1), elsewhere="See there.")
    assert chosen.paths == ("log.txt", *sorted(names)[:kept])
    [warning] = chosen.warnings
    assert warning.startswith(
        f"{len(names) - kept} files were left out because a run keeps at most"
    )
    assert warning.endswith("See there.")


def test_evidence_is_what_this_attempt_left(tmp_path: Path) -> None:
    for name in ("executed.ipynb", "executed.html"):
        (tmp_path / name).write_text("x")
    files = MemoryFiles()
    chosen = choose({"executed.ipynb": 1, "executed.html": 200}, most=100)
    found = take_over(TASK, Outcome(RunStatus.SUCCEEDED), chosen, tmp_path, files)
    assert found.evidence == ("runs/a/executed.ipynb", "runs/a/log.txt")
    assert files.list(TASK.attempt.build) == list(found.evidence)


@pytest.mark.parametrize(
    ("outcome", "log"),
    [
        (Outcome(RunStatus.CANCELED), "said The run was canceled before it began.\n"),
        (Outcome(RunStatus.SUCCEEDED), "said There is no log of the run.\n"),
    ],
)
def test_a_run_without_a_log_has_its_reason_for_one(outcome: Outcome, log: str) -> None:
    files = MemoryFiles()
    found = take_over(TASK, outcome, Chosen(()), Path(), files, b"said ")
    assert found == replace(outcome, evidence=("runs/a/log.txt",))
    assert files.read(TASK.attempt.build, "runs/a/log.txt") == log.encode()


class Choosy(MemoryFiles):
    """Takes no path that holds `refused`."""

    def __init__(self, refused: str, error: Permanent) -> None:
        super().__init__()
        self._refused = refused
        self._error = error

    def copy(self, build: str, path: str, source: Path) -> None:
        if self._refused in path:
            raise self._error
        super().copy(build, path, source)


LEFT = {"log.txt": 1, "kept/a": 1, "kept/b": 1}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for path in LEFT:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("x")
    return tmp_path


def test_a_kept_file_that_cannot_be_stored_costs_the_run_nothing_else(place: Path) -> None:
    files = Choosy("/b", Permanent("too long."))
    found = take_over(TASK, Outcome(RunStatus.SUCCEEDED), choose(LEFT), place, files)
    assert found.status is RunStatus.SUCCEEDED
    assert found.outputs == ("runs/a/a",)
    assert found.evidence == ("runs/a/log.txt",)
    assert found.warnings == (
        "1 file was left out because the build's store refused them (too long): b.",
    )


@pytest.mark.parametrize(
    ("refused", "error"), [("log.txt", Permanent("no")), ("/b", UnfitHost("no right"))]
)
def test_evidence_that_cannot_be_stored_and_a_right_that_is_missing_are_told(
    refused: str, error: Permanent, place: Path
) -> None:
    with pytest.raises(type(error), match=str(error)):
        take_over(TASK, Outcome(RunStatus.SUCCEEDED), choose(LEFT), place, Choosy(refused, error))
