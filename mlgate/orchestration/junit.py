"""`junit.xml`: one test case per notebook cell, training and gate metric.

Every failed run carries exactly one failure, so the counts agree with the verdict's reasons.
The structure is the one of the Jenkins and Ant schemas that test reporters share; there is no
`<error>`, for what failed is told by the failure's `type`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from mlgate.orchestration import notebook_view
from mlgate.orchestration.builds import Build, MetricCheck, RunState, Verdict
from mlgate.orchestration.notebook_view import CellRecord
from mlgate.orchestration.problems import Problem, failing_cell, full_trace, problem_of
from mlgate.orchestration.report import bound, run_seconds, seconds_between, why_not_succeeded
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.wording import one_line, plain


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case; it passed when there is neither a failure nor a reason to skip it."""

    suite: str
    name: str
    seconds: float | None = None
    failure: Problem | None = None
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
        problem = Problem("build", build.reason)
        cases = [_Case("build", "prepare", failure=problem)]
        _add_suite(root, "build", cases, None, build.received_at)
        everything += cases
    _count(root, everything, seconds_between(build.received_at, build.finished_at))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _run_cases(build: Build, run: RunState, ipynb: bytes) -> list[_Case]:
    name = run.spec.name
    problem = problem_of(build, run)
    if problem is None and run.status is not RunStatus.SUCCEEDED:
        return [_Case(name, run.spec.kind, run_seconds(run), skipped=why_not_succeeded(build, run))]
    records = notebook_view.cells(ipynb) if run.spec.kind is RunKind.NOTEBOOK else ()
    failing = failing_cell(run, records) if problem else None
    cases = [_cell_case(name, cell, problem if cell is failing else None) for cell in records]
    if not cases or (problem and failing is None):
        cases.append(_Case(name, run.spec.kind, run_seconds(run), problem))
    return cases


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


def _check_case(check: MetricCheck) -> _Case:
    metric = check.metric
    name = f"{metric.run}: {metric.metric} {bound(metric)}"
    problem = None if check.passed else Problem("gate", check.reason)
    return _Case("gate", name, failure=problem)


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
