"""`junit.xml`: one test case per notebook cell, training and gate metric.

Every failed run carries exactly one failure, so the counts agree with the verdict's reasons.
The structure is the one of the Jenkins and Ant schemas that test reporters share; there is no
`<error>`, for what failed is told by the failure's `type`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from mlgate.orchestration import notebook_view
from mlgate.orchestration.builds import Build, MetricCheck, RunState, Verdict
from mlgate.orchestration.notebook_view import CellRecord
from mlgate.orchestration.report import bound, run_seconds, seconds_between, why_not_succeeded
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.wording import head, one_line, plain, tail

# Azure Pipelines documents 1000 characters for the stack trace of a result: what says most
# comes first, in two parts that fit in there together.
_SHOWN = 1000
_SOURCE = 300
_LAST_LINES = 600


@dataclass(frozen=True, slots=True)
class _Problem:
    type: str
    message: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case; it passed when there is neither a failure nor a reason to skip it."""

    suite: str
    name: str
    seconds: float | None = None
    failure: _Problem | None = None
    skipped: str | None = None


def junit_xml(build: Build, notebooks: Mapping[str, bytes]) -> bytes:
    """The build's results as UTF-8 XML.

    `notebooks` maps names of runs to their `executed.ipynb`; a notebook run without one, or with
    an unreadable one, is a single test case.
    """
    root = ET.Element("testsuites", name=_attribute(f"mlgate {build.build_id}"))
    everything: list[_Case] = []
    for run in build.runs:
        cases = _run_cases(build, run, notebooks.get(run.spec.name, b""))
        _add_suite(root, run.spec.name, cases, run_seconds(run), run.started_at)
        everything += cases
    if build.metric_checks:
        cases = [_check_case(check) for check in build.metric_checks]
        _add_suite(root, "gate", cases, None, build.finished_at)
        everything += cases
    if not build.runs and build.verdict is Verdict.FAILED:
        problem = _Problem("build", build.reason)
        cases = [_Case("build", "prepare", failure=problem)]
        _add_suite(root, "build", cases, None, build.received_at)
        everything += cases
    _count(root, everything, seconds_between(build.received_at, build.finished_at))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _run_cases(build: Build, run: RunState, ipynb: bytes) -> list[_Case]:
    name = run.spec.name
    problem = _problem(build, run)
    if problem is None and run.status is not RunStatus.SUCCEEDED:
        return [_Case(name, run.spec.kind, run_seconds(run), skipped=why_not_succeeded(build, run))]
    records = notebook_view.cells(ipynb) if run.spec.kind is RunKind.NOTEBOOK else ()
    failing = _failing_cell(run, records) if problem else None
    cases = [_cell_case(name, cell, problem if cell is failing else None) for cell in records]
    if not cases or (problem and failing is None):
        cases.append(_Case(name, run.spec.kind, run_seconds(run), problem))
    return cases


def _problem(build: Build, run: RunState) -> _Problem | None:
    """What the run counts as a failure for.

    A run canceled from outside fails the gate; one canceled along with its build does not.
    """
    canceled_alone = run.status is RunStatus.CANCELED and build.verdict is not Verdict.CANCELED
    if run.status is not RunStatus.FAILED and not canceled_alone:
        return None
    message = why_not_succeeded(build, run)
    if run.failure is None or canceled_alone:
        return _Problem(run.status, message)
    return _Problem(run.failure.kind, message, run.failure.traceback)


def _failing_cell(run: RunState, records: Sequence[CellRecord]) -> CellRecord | None:
    """The cell that the failure names, else the first that failed by its own account."""
    named = run.failure.cell if run.failure is not None else None
    failed = [cell for cell in records if cell.status == notebook_view.FAILED]
    return next((cell for cell in records if cell.number == named), failed[0] if failed else None)


def _cell_case(suite: str, cell: CellRecord, problem: _Problem | None) -> _Case:
    name = f"cell {cell.number}: {cell.title}".rstrip(": ")
    if problem is not None:
        text = _stack_trace(cell.source, problem.text or cell.error or problem.message)
        return _Case(suite, name, cell.seconds, _Problem(problem.type, problem.message, text))
    skipped = {
        notebook_view.SKIPPED: "tagged skip-execution",
        notebook_view.NOT_RUN: "not run: the notebook ended before",
    }
    return _Case(suite, name, cell.seconds, skipped=skipped.get(cell.status))


def _check_case(check: MetricCheck) -> _Case:
    metric = check.metric
    name = f"{metric.run}: {metric.metric} {bound(metric)}"
    problem = None if check.passed else _Problem("gate", check.reason)
    return _Case("gate", name, failure=problem)


def _stack_trace(source: str, traceback: str) -> str:
    source, traceback = head(plain(source).strip(), _SOURCE), plain(traceback).strip()
    if len(source) + len(traceback) <= _SHOWN:
        return f"{source}\n\n{traceback}"
    return f"{source}\n\n{tail(traceback, _LAST_LINES)}\n\nIn full:\n{traceback}"


def _add_suite(
    root: ET.Element,
    name: str,
    cases: Iterable[_Case],
    seconds: float | None,
    started_at: datetime | None,
) -> None:
    suite = ET.SubElement(root, "testsuite", name=_attribute(name))
    _count(suite, cases, seconds)
    if started_at is not None:
        # UTC; the schema's pattern has no room for a zone.
        suite.set("timestamp", started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
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


def _count(element: ET.Element, cases: Iterable[_Case], seconds: float | None) -> None:
    cases = list(cases)
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.failure is not None for case in cases)))
    element.set("errors", "0")
    element.set("skipped", str(sum(case.skipped is not None for case in cases)))
    element.set("time", _time(seconds))


def _attribute(text: str) -> str:
    return one_line(text) or "-"


def _time(seconds: float | None) -> str:
    return f"{seconds or 0.0:.3f}"
