"""`junit.xml`: the structure that test reporters share, with counts that are right."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgate.orchestration.builds import Build, GateMetric, MetricCheck, Verdict
from mlgate.orchestration.runs import FailureKind, RunKind, RunStatus
from mlgate.orchestration.verdict.junit import junit_xml
from tests.unit.orchestration.verdict.samples import (
    HOSTILE,
    TRACEBACK,
    a_build,
    a_run,
    code_cell,
    executed,
    failed_run,
    hostile_build,
    hostile_notebooks,
    notebook,
    skipped_run,
    with_notebooks,
)


def parsed(build: Build, notebooks: Mapping[str, bytes] | None = None) -> ET.Element:
    """The document, after checking what holds for each: nesting, attributes and counts."""
    root = ET.fromstring(b"".join(junit_xml(*with_notebooks(build, notebooks or {}))))
    assert root.tag == "testsuites"
    assert {suite.tag for suite in root} <= {"testsuite"}
    for element in (root, *root):
        cases = list(element.iter("testcase"))
        assert element.get("name")
        assert element.get("tests") == str(len(cases))
        assert element.get("failures") == str(len(list(element.iter("failure"))))
        assert element.get("skipped") == str(len(list(element.iter("skipped"))))
        assert element.get("errors") == "0"
        assert float(element.get("time", "")) >= 0
    for case in root.iter("testcase"):
        assert case.get("classname")
        assert case.get("name")
        assert float(case.get("time", "")) >= 0
        assert [child.tag for child in case] in ([], ["failure"], ["skipped"])
    return root


def outcomes(root: ET.Element) -> list[tuple[str | None, str]]:
    """Each test case's name and what came of it."""
    return [
        (case.get("name"), case[0].tag if len(case) else "passed") for case in root.iter("testcase")
    ]


def test_a_notebook_is_one_test_case_per_cell() -> None:
    cells = (code_cell(None), code_cell(1, source="\nimport pandas"), code_cell(2, "skipped"))
    root = parsed(a_build(a_run("explore")), {"explore": notebook(*cells)})
    assert outcomes(root) == [("cell 1: import pandas", "passed"), ("cell 2: step(2)", "skipped")]
    (suite,) = root
    assert (suite.get("name"), suite.get("time")) == ("explore", "90.000")
    assert suite.get("timestamp") == "2025-05-06T08:04:11"
    assert {case.get("classname") for case in suite} == {"explore"}
    assert suite[0].get("time") == "0.500"


def test_the_failing_cell_carries_the_failure_and_later_ones_did_not_run() -> None:
    build = a_build(failed_run("explore"), verdict=Verdict.FAILED)
    root = parsed(build, {"explore": executed(5, failing=3)})
    assert [outcome for _, outcome in outcomes(root)] == [
        "passed",
        "passed",
        "failure",
        "skipped",
        "skipped",
    ]
    (failure,) = root.iter("failure")
    assert failure.attrib == {"type": "code", "message": "KeyError: 'demand'"}
    assert failure.text == f"step(3)\n\n{TRACEBACK}"


def test_the_first_thousand_characters_hold_the_source_and_the_end_of_the_traceback() -> None:
    trace = "\n".join(f"frame {number}" for number in range(500)) + "\nKeyError: 'demand'"
    build = a_build(failed_run("explore", traceback=trace))
    (failure,) = parsed(build, {"explore": executed(3, failing=3)}).iter("failure")
    assert failure.text is not None
    assert failure.text.startswith("step(3)")
    assert "KeyError: 'demand'" in failure.text[:1000]
    assert failure.text.endswith(trace)


@pytest.mark.parametrize(
    "kind", [FailureKind.TIMEOUT, FailureKind.KERNEL_DIED, FailureKind.INFRASTRUCTURE]
)
def test_a_failure_outside_a_cell_has_a_test_case_of_its_own(kind: FailureKind) -> None:
    run = failed_run("explore", kind=kind, message="it ended", cell=None, traceback=None)
    cells = notebook(code_cell(1), code_cell(2, "not_run"))
    root = parsed(a_build(run), {"explore": cells})
    assert outcomes(root) == [
        ("cell 1: step(1)", "passed"),
        ("cell 2: step(2)", "skipped"),
        ("notebook", "failure"),
    ]
    (failure,) = root.iter("failure")
    assert (failure.get("type"), failure.text) == (kind, "it ended")


def test_a_failure_without_a_cell_goes_to_the_cell_that_failed() -> None:
    """A cell interrupted by a time-out says so itself; the run is counted once."""
    run = failed_run("explore", kind=FailureKind.TIMEOUT, cell=None)
    root = parsed(a_build(run), {"explore": executed(3, failing=2)})
    assert [outcome for _, outcome in outcomes(root)] == ["passed", "failure", "skipped"]


def test_without_a_traceback_the_failing_cell_tells_its_own() -> None:
    error = {"output_type": "error", "traceback": ["KeyboardInterrupt: stopped"]}
    run = failed_run("explore", kind=FailureKind.TIMEOUT, cell=1, traceback=None)
    ipynb = notebook(code_cell(1, "failed", outputs=[error]))
    (failure,) = parsed(a_build(run), {"explore": ipynb}).iter("failure")
    assert failure.text == "step(1)\n\nKeyboardInterrupt: stopped"


@pytest.mark.parametrize("ipynb", [None, b"", b"not a notebook", notebook()])
def test_without_cells_a_run_is_one_test_case(ipynb: bytes | None) -> None:
    notebooks = {} if ipynb is None else {"explore": ipynb}
    assert outcomes(parsed(a_build(a_run("explore")), notebooks)) == [("notebook", "passed")]
    assert outcomes(parsed(a_build(failed_run("explore")), notebooks)) == [("notebook", "failure")]


def test_a_training_is_one_test_case() -> None:
    passed = a_run("train", RunKind.TRAINING)
    failed = a_run("tune", RunKind.TRAINING, RunStatus.FAILED)
    root = parsed(a_build(passed, failed))
    assert outcomes(root) == [("training", "passed"), ("training", "failure")]
    assert next(root.iter("failure")).get("message") == "no cause was recorded"


def test_a_skipped_run_is_one_skipped_test_case_that_says_why() -> None:
    root = parsed(a_build(failed_run("train"), skipped_run("publish", needs=("train",))))
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == "needs train, which did not succeed"


def test_a_run_canceled_from_outside_is_a_failure_and_one_canceled_with_its_build_is_not() -> None:
    run = a_run("train", RunKind.TRAINING, RunStatus.CANCELED)
    alone = parsed(a_build(run, verdict=Verdict.FAILED))
    together = parsed(a_build(run, verdict=Verdict.CANCELED))
    assert next(alone.iter("failure")).get("type") == "canceled"
    assert next(together.iter("skipped")).get("message") == "canceled while it ran"


def test_each_gate_metric_is_a_test_case_of_the_gate() -> None:
    checks = (
        MetricCheck(GateMetric("train", "r2", at_least=0.9), 0.95, True, "train: r2 is 0.95"),
        MetricCheck(GateMetric("train", "rmse", at_most=5), None, False, "train: rmse is missing"),
    )
    root = parsed(a_build(a_run("train", RunKind.TRAINING), metric_checks=checks))
    assert outcomes(root)[1:] == [("train: r2 ≥ 0.9", "passed"), ("train: rmse ≤ 5", "failure")]
    assert root[1].get("name") == "gate"
    assert next(root.iter("failure")).get("message") == "train: rmse is missing"


def test_a_build_that_failed_before_its_runs_is_not_green() -> None:
    root = parsed(a_build(verdict=Verdict.FAILED, reason="No ref mian."))
    assert outcomes(root) == [("prepare", "failure")]
    assert next(root.iter("failure")).get("message") == "No ref mian."


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_stays_text(text: str) -> None:
    root = parsed(hostile_build(text), hostile_notebooks(text))
    assert [outcome for _, outcome in outcomes(root)] == ["passed", "failure", "skipped", "failure"]
    assert "\x1b" not in "".join(root.itertext())


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_makes_a_document_with_right_counts(text: str) -> None:
    root = parsed(hostile_build(text), hostile_notebooks(text))
    assert root.get("failures") == "2"
