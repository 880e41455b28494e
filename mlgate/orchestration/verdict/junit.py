"""`junit.xml`: one test case per notebook cell, training, gate metric and check.

Every failed run has exactly one failure, so the counts agree with the verdict's reasons. The counts
are at the document's head, so all suites are made before the first byte is returned. They are kept
as bytes; a run whose cells would exceed the limit keeps only its failure. The structure is that of
the Jenkins and Ant schemas that test reporters share, without `<error>`: the failure's `type` says
what failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from xml.etree import ElementTree as ET

from mlgate.orchestration.builds import Build, MetricCheck, RunState, Verdict
from mlgate.orchestration.checks import Check, CheckStatus
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.text import one_line, plain, utc
from mlgate.orchestration.verdict import notebook_view
from mlgate.orchestration.verdict.evidence import Read
from mlgate.orchestration.verdict.facts import (
    bound,
    run_seconds,
    seconds_between,
    why_not_succeeded,
)
from mlgate.orchestration.verdict.models import ModelStory, story
from mlgate.orchestration.verdict.notebook_view import CellRecord, Notebook
from mlgate.orchestration.verdict.problems import (
    Problem,
    failing_cell,
    full_trace,
    problem_of,
    short_trace,
)

_MOST_BYTES = 24 << 20  # Azure Pipelines accepts files of 32 MiB
_CELLS = 2000  # test cases of a run
_SECONDS = len("2025-05-06T08:03:11")


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case; it passed when there is neither a failure nor a reason to skip it."""

    suite: str
    name: str
    seconds: float | None = None
    failure: Problem | None = None
    skipped: str | None = None


@dataclass(slots=True)
class _Counts:
    tests: int = 0
    failures: int = 0
    skipped: int = 0

    def add(self, cases: Sequence[_Case]) -> None:
        self.tests += len(cases)
        self.failures += sum(case.failure is not None for case in cases)
        self.skipped += sum(case.skipped is not None for case in cases)


def junit_xml(build: Build, read: Read) -> Iterator[bytes]:
    """The build's results as UTF-8 XML.

    A notebook run without an executed notebook, or with an unreadable one, is a single test case.
    """
    suites: list[bytes] = []
    counts, room = _Counts(), _MOST_BYTES
    for run in build.runs:
        cases = _run_cases(build, run, read)
        suite = _suite(run.spec.name, cases, run_seconds(run), run.started_at)
        if len(suite) > room:
            cases = [_whole(build, run)]
            suite = _suite(run.spec.name, cases, run_seconds(run), run.started_at)
        room -= len(suite)
        counts.add(cases)
        suites.append(suite)
    if build.metric_checks:
        cases = [_check_case(check) for check in build.metric_checks]
        counts.add(cases)
        suites.append(_suite("gate", cases, None, build.finished_at))
    if (told := story(build)) is not None:
        cases = [_model_case(told)]
        counts.add(cases)
        suites.append(_suite("model", cases, None, build.finished_at))
    if build.checks:
        cases = [_made_case(check) for check in build.checks]
        counts.add(cases)
        suites.append(_suite("checks", cases, None, build.received_at))
    if not (build.runs or build.checks or told) and build.verdict is Verdict.FAILED:
        cases = [_Case("build", "prepare", failure=Problem("build", build.reason))]
        counts.add(cases)
        suites.append(_suite("build", cases, None, build.received_at))
    yield from _document(build, suites, counts)


def _document(build: Build, suites: Sequence[bytes], counts: _Counts) -> Iterator[bytes]:
    root = ET.Element("testsuites", name=_attribute(f"mlgate {build.build_id}"))
    _count(root, counts, seconds_between(build.received_at, build.finished_at))
    if not suites:
        yield _bytes(root, declaration=True) + b"\n"
        return
    root.text = "\n"
    head, _, end = _bytes(root, declaration=True).rpartition(b"\n")
    yield head + b"\n"
    for suite in suites:
        yield b"  " + suite + b"\n"
    yield end + b"\n"


def _run_cases(build: Build, run: RunState, read: Read) -> list[_Case]:
    name = run.spec.name
    problem = problem_of(build, run)
    if problem is None and run.status is not RunStatus.SUCCEEDED:
        return [_Case(name, run.spec.kind, run_seconds(run), skipped=why_not_succeeded(build, run))]
    is_notebook = run.spec.kind is RunKind.NOTEBOOK
    records = Notebook.of(run, read).cells() if is_notebook else ()
    failing = failing_cell(run, records) if problem else None
    shown = [*records[:_CELLS], *(cell for cell in records[_CELLS:] if cell is failing)]
    cases = [_cell_case(name, cell, problem if cell is failing else None) for cell in shown]
    if len(shown) < len(records):
        more = f"and {len(records) - len(shown)} more cells"
        cases.append(_Case(name, more, skipped="not listed: executed.ipynb has them all"))
    if not cases or (problem and failing is None):
        cases.append(_Case(name, run.spec.kind, run_seconds(run), problem))
    return cases


def _whole(build: Build, run: RunState) -> _Case:
    """A run as a single test case."""
    problem = problem_of(build, run)
    text = short_trace("", problem.text or problem.message) if problem else None
    failure = replace(problem, text=text) if problem else None
    passed = problem is not None or run.status is RunStatus.SUCCEEDED
    skipped = None if passed else why_not_succeeded(build, run)
    return _Case(run.spec.name, run.spec.kind, run_seconds(run), failure, skipped)


def _cell_case(suite: str, cell: CellRecord, problem: Problem | None) -> _Case:
    name = f"cell {cell.number}: {cell.title}".rstrip(": ")
    if problem is not None:
        text = full_trace(cell.source, problem.text or cell.error or problem.message)
        return _Case(suite, name, cell.seconds, Problem(problem.type, problem.message, text))
    skipped = {
        notebook_view.SKIPPED: "tagged skip-execution",
        notebook_view.NOT_RUN: "not run: the notebook ended before",
    }
    return _Case(suite, name, cell.seconds, skipped=skipped.get(cell.status))


def _made_case(check: Check) -> _Case:
    problem = Problem("check", f"{check.says} {check.remedy}".strip()) if check.wrong else None
    skipped = check.says if check.status is CheckStatus.NOT_APPLICABLE else None
    return _Case("checks", check.name, failure=problem, skipped=skipped)


def _model_case(told: ModelStory) -> _Case:
    problem = Problem("model", told.why) if told.status is RunStatus.FAILED else None
    skipped = told.why if told.status is RunStatus.SKIPPED else None
    return _Case("model", f"model {told.name}", failure=problem, skipped=skipped)


def _check_case(check: MetricCheck) -> _Case:
    metric = check.metric
    name = f"{metric.run}: {metric.metric} {bound(metric)}"
    problem = None if check.passed else Problem("gate", check.reason)
    return _Case("gate", name, failure=problem)


def _suite(
    name: str, cases: Sequence[_Case], seconds: float | None, started_at: datetime | None
) -> bytes:
    counts = _Counts()
    counts.add(cases)
    suite = ET.Element("testsuite", name=_attribute(name))
    _count(suite, counts, seconds)
    if started_at is not None:
        # UTC; the schema's pattern has no room for a zone.
        suite.set("timestamp", (utc(started_at) or "")[:_SECONDS])
    for case in cases:
        element = ET.SubElement(
            suite,
            "testcase",
            classname=_attribute(case.suite),
            name=_attribute(case.name),
            time=_time(case.seconds),
        )
        if case.failure is not None:
            failure = ET.SubElement(
                element,
                "failure",
                type=case.failure.type,
                message=one_line(case.failure.message, 1000),
            )
            failure.text = plain(case.failure.text or case.failure.message)
        elif case.skipped is not None:
            ET.SubElement(element, "skipped", message=one_line(case.skipped, 1000))
    ET.indent(suite, level=1)
    return _bytes(suite)


def _bytes(element: ET.Element, *, declaration: bool = False) -> bytes:
    written: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=declaration)
    return written


def _count(element: ET.Element, counts: _Counts, seconds: float | None) -> None:
    element.set("tests", str(counts.tests))
    element.set("failures", str(counts.failures))
    element.set("errors", "0")
    element.set("skipped", str(counts.skipped))
    element.set("time", _time(seconds))


def _attribute(text: str) -> str:
    return one_line(text) or "-"


def _time(seconds: float | None) -> str:
    return f"{seconds or 0.0:.3f}"
