"""Reports of large builds stay small, read one notebook at a time, and read each once."""

from __future__ import annotations

import re
from typing import Self
from xml.etree import ElementTree as ET

import pytest

from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.verdict.evidence import no_notebooks
from mlgate.orchestration.verdict.files import Part, parts_of
from mlgate.orchestration.verdict.junit import junit_xml
from mlgate.orchestration.verdict.notebook_view import Notebook
from mlgate.orchestration.verdict.page.page import page_html
from tests.unit.orchestration.verdict.samples import (
    TRACEBACK,
    a_build,
    a_run,
    code_cell,
    executed,
    failed_run,
    leaving,
    notebook,
    skipped_run,
    with_notebooks,
)

ATTACHABLE = 32 << 20  # bytes that a pipeline keeps of a file


class Content(bytes):
    """A notebook that notes when it is let go of."""

    alive = 0

    def __new__(cls, content: bytes) -> Self:
        cls.alive += 1
        return super().__new__(cls, content)

    def __del__(self) -> None:
        Content.alive -= 1


def many(runs: int) -> Build:
    build = a_build(
        *(failed_run(f"run-{number}") if number % 2 else a_run(f"run-{number}")
          for number in range(runs)),
        verdict=Verdict.FAILED,
    )  # fmt: skip
    return leaving(build, {run.spec.name: ["executed.ipynb", "log.txt"] for run in build.runs})


def part(build: Build, name: str) -> Part:
    return next(each for each in parts_of(build) if each.name == name)


@pytest.mark.parametrize("name", ["junit.xml", "report.html"])
def test_notebooks_are_read_one_at_a_time_and_once(name: str) -> None:
    build = many(20)
    read_so_far: list[str] = []

    def read(run: RunState) -> bytes:
        assert Content.alive == 0, "the one before is still held"
        read_so_far.append(run.spec.name)
        return Content(executed(5, failing=3, plotting=[1]))

    [(_, content)] = part(build, name).files(read)
    assert sum(len(piece) for piece in content) > 10_000
    assert sorted(read_so_far) == sorted(run.spec.name for run in build.runs)


def test_what_a_run_did_not_leave_is_not_read() -> None:
    """A notebook that lies there is an earlier attempt's."""

    def read(run: RunState) -> bytes:
        raise AssertionError(f"{run.spec.name} left none")

    build = a_build(failed_run(), a_run("train", RunKind.TRAINING))
    for each in parts_of(build):
        for _, content in each.files(read):
            assert b"".join(content)


def test_the_parts_of_a_build_end_with_its_result() -> None:
    build = leaving(a_build(failed_run("a"), skipped_run("b", ("a",))), {"a": ["log.txt"]})
    parts = parts_of(build)
    assert [each.name for each in parts] == ["logs", "junit.xml", "report.html", "result.json"]
    [(path, log)] = parts[0].files(no_notebooks)
    assert path == "runs/b/log.txt"
    assert b"".join(log) == b"b was skipped: a run it needs did not pass\n"
    everything = leaving(build, {"a": ["log.txt"], "b": ["log.txt"]})
    assert next(each.name for each in parts_of(everything)) == "junit.xml"


def test_logs_that_are_missing_are_one_part_however_many() -> None:
    build = a_build(*(skipped_run(f"run-{number}", ()) for number in range(500)))
    parts = parts_of(build)
    assert len(parts) == 4
    assert len(dict(parts[0].files(no_notebooks))) == 500


def test_a_page_without_notebooks_says_where_they_are() -> None:
    build, _ = with_notebooks(a_build(failed_run()), {"explore": executed(5, failing=3)})
    html = b"".join(page_html(build, no_notebooks)).decode()
    assert "Too large to show here" in html
    assert 'href="runs/explore/executed.ipynb"' in html
    assert TRACEBACK.splitlines()[-1] in html.replace("&#x27;", "'")


def test_a_page_of_500_long_failures_shows_some_in_full_and_all_in_short() -> None:
    long = "\n".join("&" * 60 for _ in range(300))
    runs = (
        failed_run(f"run-{number}", message=f"message {number}", traceback=long)
        for number in range(500)
    )
    notebooks = {f"run-{number}": executed(9, failing=3, plotting=[1]) for number in range(500)}
    build = a_build(*runs, verdict=Verdict.FAILED)
    html = b"".join(page_html(*with_notebooks(build, notebooks)))
    assert len(html) < 28_000_000
    assert len(set(re.findall(rb"<p>message \d+</p>", html))) == 500
    brief = html.count(b"The rest is left out to keep this page small")
    assert 0 < brief < 450
    assert f"{brief} of them are shown only in part".encode() in html


def cases_of(build: Build, notebooks: dict[str, bytes]) -> list[ET.Element]:
    content = b"".join(junit_xml(*with_notebooks(build, notebooks)))
    assert len(content) < ATTACHABLE
    root = ET.fromstring(content)
    cases = list(root.iter("testcase"))
    assert root.get("tests") == str(len(cases))
    assert root.get("failures") == str(len(list(root.iter("failure"))))
    return cases


def test_a_notebook_of_very_many_cells_is_listed_with_its_first_and_its_failing_one() -> None:
    cases = cases_of(a_build(failed_run(cell=5000)), {"explore": executed(9000, failing=5000)})
    assert len(cases) == 2002
    assert cases[-2].get("name") == "cell 5000: step(5000)"
    assert cases[-2][0].tag == "failure"
    assert cases[-1].get("name") == "and 6999 more cells"


def test_results_that_would_be_too_many_are_one_a_run() -> None:
    source = "<" * 200
    ipynb = notebook(
        *(code_cell(number, source=source) for number in range(1, 1500)),
        code_cell(1500, "failed", source=source),
    )
    names = [f"run-{number}" for number in range(25)]
    build = a_build(*(failed_run(name, cell=1500) for name in names), verdict=Verdict.FAILED)
    cases = cases_of(build, dict.fromkeys(names, ipynb))
    assert 1500 * 5 < len(cases) < 1500 * 24
    assert len([case for case in cases if len(case) and case[0].tag == "failure"]) == 25
    assert cases[-1].get("name") == "notebook"
    assert "KeyError" in (cases[-1][0].text or "")


def test_a_traceback_as_long_as_its_notebook_is_cut() -> None:
    error = {"output_type": "error", "traceback": ["line\n" * 1_000_000 + "ValueError: the end"]}
    ipynb = notebook(code_cell(1, "failed", outputs=[error]))
    [case] = cases_of(a_build(failed_run(cell=1, traceback=None)), {"explore": ipynb})
    text = case[0].text or ""
    assert len(text) < 70_000
    assert "ValueError: the end" in text[:1000]


@pytest.mark.parametrize(
    "ipynb",
    [
        b'{"cells": [' + b"[]," * 3_000_000 + b"[]]}",
        b'{"cells": [' + b'{"a":0},' * 1_000_000 + b"{}]}",
        b'{"cells": ["' + "\N{ROCKET}".encode() * 9_000_000 + b'"]}',
    ],
    ids=["lists", "objects", "wide text"],
)
def test_a_notebook_that_would_fill_the_memory_is_not_parsed(ipynb: bytes) -> None:
    found = Notebook.parse(ipynb)
    assert found.unseen
    assert found.cells() == ()


def test_a_status_is_never_made_up_for_a_run_that_did_not_end() -> None:
    """A build that is given up has runs whose end nobody saw."""
    run = a_run("train", RunKind.TRAINING, RunStatus.RUNNING, finished_at=None)
    [case] = cases_of(a_build(run, verdict=Verdict.FAILED), {})
    assert case[0].tag == "skipped"
