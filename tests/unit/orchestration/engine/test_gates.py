"""Verdicts with their reasons, by table."""

from __future__ import annotations

import math

import pytest

from mlgate.orchestration.builds import Build, Gate, GateMetric, RunState, Verdict
from mlgate.orchestration.runs import FailureKind, RunStatus
from mlgate.orchestration.verdict.gates import judge
from tests.unit.orchestration.engine.builders import NOON, build, failed, passed, run

SKIPPED = run("s", status=RunStatus.SKIPPED)
CANCELED = run("c", status=RunStatus.CANCELED, submitted=True)


@pytest.mark.parametrize(
    ("condition", "runs", "verdict"),
    [
        ("all_pass", (passed("a"), passed("b")), Verdict.SUCCEEDED),
        ("all_pass", (passed("a"), failed("b")), Verdict.FAILED),
        ("all_pass", (passed("a"), SKIPPED), Verdict.FAILED),
        ("all_pass", (passed("a"), CANCELED), Verdict.FAILED),
        ("any_pass", (passed("a"), failed("b")), Verdict.SUCCEEDED),
        ("any_pass", (failed("a"), SKIPPED), Verdict.FAILED),
        (2, (passed("a"), passed("b"), failed("d")), Verdict.SUCCEEDED),
        (2, (passed("a"), failed("b"), failed("d")), Verdict.FAILED),
    ],
)
def test_conditions(condition: str | int, runs: tuple[RunState, ...], verdict: Verdict) -> None:
    assert judge(build(*runs, gate=Gate(condition))).verdict is verdict


@pytest.mark.parametrize(
    ("condition", "runs", "verdict"),
    [
        ("all_pass", (passed("a"), passed("check-m")), Verdict.SUCCEEDED),
        ("all_pass", (passed("a"), failed("check-m")), Verdict.FAILED),
        ("any_pass", (failed("a"), passed("check-m")), Verdict.FAILED),
        ("any_pass", (passed("a"), failed("check-m")), Verdict.SUCCEEDED),
        (2, (passed("a"), failed("b"), passed("check-m")), Verdict.FAILED),
        (2, (passed("a"), passed("b"), failed("check-m")), Verdict.SUCCEEDED),
    ],
)
def test_an_added_run_counts_where_all_must_pass_and_nowhere_else(
    condition: str | int, runs: tuple[RunState, ...], verdict: Verdict
) -> None:
    judgment = judge(build(*runs, gate=Gate(condition, added=("check-m",))))

    counted = len(runs) if condition == "all_pass" else len(runs) - 1
    assert judgment.verdict is verdict
    assert f"of {counted} run" in judgment.reason


@pytest.mark.parametrize(
    ("value", "bound", "holds"),
    [
        (0.9, {"at_least": 0.8}, True),
        (0.8, {"at_least": 0.8}, True),
        (0.7, {"at_least": 0.8}, False),
        (0.2, {"at_most": 0.3}, True),
        (0.3, {"at_most": 0.3}, True),
        (0.4, {"at_most": 0.3}, False),
        (math.nan, {"at_least": 0.0}, False),
        (math.inf, {"at_most": 1.0}, False),
        (None, {"at_least": 0.0}, False),
    ],
)
def test_metric_gates(value: float | None, bound: dict[str, float], holds: bool) -> None:
    metrics = {} if value is None else {"accuracy": value}
    gate = Gate(metrics=(GateMetric("a", "accuracy", **bound),))

    judgment = judge(build(passed("a", metrics=metrics), gate=gate))

    assert (judgment.verdict is Verdict.SUCCEEDED) is holds
    [check] = judgment.metric_checks
    assert (check.metric, check.passed) == (gate.metrics[0], holds)
    assert "accuracy" in judgment.reason


def test_a_metric_of_a_run_that_failed_fails_its_gate() -> None:
    gate = Gate("any_pass", (GateMetric("b", "accuracy", at_least=0.0),))

    judgment = judge(build(passed("a"), failed("b", metrics={"accuracy": 1.0}), gate=gate))

    assert judgment.verdict is Verdict.FAILED


def test_the_reason_names_run_kind_cell_and_message() -> None:
    reason = judge(build(passed("a"), failed("explore", FailureKind.DATA, cell=7))).reason

    assert reason == "1 of 2 runs passed; all must pass. explore failed (data, cell 7): it broke."


def test_a_long_list_of_failures_is_counted_not_told() -> None:
    reason = judge(build(*(failed(f"r{number}") for number in range(40)))).reason

    assert "and 35 more" in reason


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        (
            build(CANCELED, ending_since=NOON, pipeline_ended=True),
            Verdict.CANCELED,
            "Canceled before all runs had ended.",
        ),
        (
            build(passed("a"), pipeline_ended=True),
            Verdict.CANCELED,
            "Canceled before the verdict.",
        ),
        (build(pipeline_ended=True), Verdict.CANCELED, "Canceled before the verdict."),
        (build(CANCELED, ending_since=NOON, cancel_requested="No."), Verdict.FAILED, "No."),
        (build(CANCELED, ending_since=NOON), Verdict.FAILED, "deadline of 60 minutes"),
        (build(ending_since=NOON), Verdict.FAILED, "before the repository was checked out"),
        (build(passed("a"), ending_since=NOON), Verdict.SUCCEEDED, "1 of 1 run passed"),
        (build(CANCELED), Verdict.FAILED, "Canceled outside mlgate: c."),
    ],
)
def test_builds_that_were_cut_short(state: Build, verdict: Verdict, words: str) -> None:
    judgment = judge(state)

    assert judgment.verdict is verdict
    assert words in judgment.reason
