"""`result.json`: the contract's shape."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgate.orchestration.builds import Gate, GateMetric, MetricCheck, Verdict
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.verdict.result import result, result_json
from tests.unit.orchestration.verdict.samples import (
    HOSTILE,
    TRACEBACK,
    a_build,
    a_run,
    failed_run,
    hostile_build,
    skipped_run,
)


def test_the_whole_shape() -> None:
    metric = GateMetric("train", "r2", at_least=0.9)
    build = a_build(
        failed_run("explore"),
        a_run(
            "train",
            RunKind.TRAINING,
            metrics={"r2": 0.93, "epochs": 40},
            outputs=("runs/train/outputs/model.pkl",),
            warnings=("slow",),
            studio_url="https://ml.azure.com/runs/1",
        ),
        verdict=Verdict.FAILED,
        reason="1 of 2 runs passed; all must pass.",
        gate=Gate("all_pass", (metric,)),
        metric_checks=(MetricCheck(metric, 0.93, True, "train: r2 is 0.93"),),
    )
    assert json.loads(result_json(build)) == {
        "version": 1,
        "build_id": "20418",
        "verdict": "failed",
        "reason": "1 of 2 runs passed; all must pass.",
        "started_at": "2025-05-06T08:03:11.000Z",
        "finished_at": "2025-05-06T08:45:11.000Z",
        "repository": {
            "url": "https://dev.azure.com/contoso/models/_git/models",
            "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
        },
        "backend": "azureml",
        "promotion": None,
        "runs": [
            {
                "name": "explore",
                "kind": "notebook",
                "status": "failed",
                "started_at": "2025-05-06T08:04:11.000Z",
                "finished_at": "2025-05-06T08:05:41.000Z",
                "duration_seconds": 90.0,
                "attempts": 1,
                "metrics": {},
                "outputs": [],
                "warnings": [],
                "studio_url": None,
                "failure": {
                    "kind": "code",
                    "message": "KeyError: 'demand'",
                    "cell": 3,
                    "traceback": TRACEBACK,
                },
            },
            {
                "name": "train",
                "kind": "training",
                "status": "succeeded",
                "started_at": "2025-05-06T08:04:11.000Z",
                "finished_at": "2025-05-06T08:05:41.000Z",
                "duration_seconds": 90.0,
                "attempts": 1,
                "metrics": {"epochs": 40, "r2": 0.93},
                "outputs": ["runs/train/outputs/model.pkl"],
                "warnings": ["slow"],
                "studio_url": "https://ml.azure.com/runs/1",
                "failure": None,
            },
        ],
        "gate": {
            "condition": "all_pass",
            "passed": False,
            "metrics": [
                {
                    "run": "train",
                    "metric": "r2",
                    "at_least": 0.9,
                    "value": 0.93,
                    "passed": True,
                    "reason": "train: r2 is 0.93",
                }
            ],
        },
    }


@pytest.mark.parametrize(
    ("attempt", "submitted", "made"), [(1, False, 0), (1, True, 1), (3, True, 3), (3, False, 2)]
)
def test_attempts_are_those_that_were_made(attempt: int, submitted: bool, made: int) -> None:
    run = a_run(attempt=attempt, submitted=submitted)
    assert result(a_build(run))["runs"][0]["attempts"] == made


def test_times_that_are_not_known_are_null() -> None:
    run = result(a_build(skipped_run("publish", needs=("train",))))["runs"][0]
    assert (run["started_at"], run["finished_at"], run["duration_seconds"]) == (None, None, None)


def test_a_duration_is_never_negative() -> None:
    assert result(a_build(a_run(seconds=-5)))["runs"][0]["duration_seconds"] == 0


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("all_pass", "all_pass"), ("any_pass", "any_pass"), (3, {"at_least": 3})],
)
def test_the_condition_reads_as_in_the_message(condition: str | int, expected: object) -> None:
    assert result(a_build(gate=Gate(condition)))["gate"]["condition"] == expected


def test_only_the_bound_that_was_given_is_there() -> None:
    check = MetricCheck(GateMetric("train", "rmse", at_most=5), None, False, "missing")
    (metric,) = result(a_build(metric_checks=(check,)))["gate"]["metrics"]
    assert metric == {
        "run": "train",
        "metric": "rmse",
        "at_most": 5,
        "value": None,
        "passed": False,
        "reason": "missing",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_not_finite_is_null(value: float) -> None:
    check = MetricCheck(GateMetric("train", "loss", at_most=1), value, False, "diverged")
    build = a_build(a_run(metrics={"loss": value}), metric_checks=(check,))
    told = json.loads(result_json(build))
    assert told["runs"][0]["metrics"] == {"loss": None}
    assert told["gate"]["metrics"][0]["value"] is None


@pytest.mark.parametrize(("said", "passed"), [("3 of 3 runs passed", True), (None, False)])
def test_a_gate_may_pass_though_the_build_fails_with_its_model(
    said: str | None, passed: bool
) -> None:
    told = result(a_build(verdict=Verdict.FAILED, gate_passed=said))
    assert told["gate"]["passed"] is passed


def test_an_undecided_build_has_no_verdict() -> None:
    told = result(a_build(verdict=None, finished_at=None))
    assert (told["verdict"], told["finished_at"], told["gate"]["passed"]) == (None, None, False)


def test_the_order_of_metrics_does_not_change_the_bytes() -> None:
    one = a_build(a_run(metrics={"a": 1.0, "b": 2.0}))
    other = replace(one, runs=(a_run(metrics={"b": 2.0, "a": 1.0}),))
    assert result_json(one) == result_json(other)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_comes_back_as_it_was(text: str) -> None:
    told = json.loads(result_json(hostile_build(text)))
    assert told["reason"] == text
    assert told["runs"][0]["failure"]["message"] == text


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_makes_json(text: str) -> None:
    told = json.loads(result_json(hostile_build(text)))
    assert [run["status"] for run in told["runs"]] == [RunStatus.FAILED, RunStatus.SKIPPED]
