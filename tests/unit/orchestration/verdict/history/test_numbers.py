"""What is said of many builds: which runs are flaky, builds by time, the course of a metric."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.promotions import PromotionOutcome
from mlgate.orchestration.runs import FailureKind, RunStatus
from mlgate.orchestration.verdict.history.numbers import (
    bins_of,
    courses_of,
    pass_rate,
    quantile,
    run_stories,
)
from mlgate.orchestration.verdict.history.records import MetricRecord, Project, Record, RunRecord
from tests.unit.orchestration.verdict.history.samples import (
    CHURN,
    DEMAND,
    DIED,
    FAILED,
    PASSED,
    a_history,
    a_record,
)

CANCELED = RunStatus.CANCELED
OUTSIDE = (FailureKind.PREEMPTED, FailureKind.INFRASTRUCTURE, FailureKind.NETWORK)
Failures: TypeAlias = tuple[FailureKind, ...]
A, B = "a" * 40, "b" * 40


def ends(*builds: tuple[str | None, RunStatus, Failures]) -> list[Record]:
    """Builds of one run `train`, the newest first: commit, how it ended, what failed."""
    return [
        a_record(len(builds) - place, RunRecord("train", status, failures), commit=commit)
        for place, (commit, status, failures) in enumerate(builds)
    ]


@pytest.mark.parametrize(
    ("builds", "both_ways", "after_retry"),
    [
        ([(A, PASSED, ()), (A, PASSED, ())], 0, 0),
        ([(A, PASSED, ()), (A, FAILED, ())], 1, 0),
        ([(A, PASSED, ()), (B, FAILED, ())], 0, 0),
        ([(A, PASSED, ()), (A, FAILED, ()), (B, FAILED, ()), (B, PASSED, ())], 2, 0),
        ([(A, PASSED, ()), (A, CANCELED, ())], 0, 0),
        ([(A, PASSED, DIED)], 0, 1),
        ([(A, FAILED, DIED)], 0, 0),
        ([(A, PASSED, OUTSIDE)], 0, 0),
        ([(A, PASSED, (*OUTSIDE, *DIED))], 0, 1),
        ([(A, PASSED, ()), (A, FAILED, OUTSIDE[:1])], 0, 0),
        ([(A, PASSED, OUTSIDE), (A, FAILED, (FailureKind.CODE,))], 1, 0),
        ([(None, PASSED, ()), (None, FAILED, ())], 0, 0),
    ],
)
def test_which_runs_are_flaky(
    builds: list[tuple[str | None, RunStatus, Failures]], both_ways: int, after_retry: int
) -> None:
    [story] = run_stories(ends(*builds))
    assert (story.both_ways, story.after_retry) == (both_ways, after_retry)
    assert story.flaky == (both_ways + after_retry > 0)


@pytest.mark.parametrize(
    "other", [DEMAND, replace(CHURN, folder="pricing"), replace(CHURN, plan="nightly.json")]
)
def test_the_same_name_in_another_project_is_another_run_with_other_metrics(
    other: Project,
) -> None:
    metric = MetricRecord("train", "r2", 0.9)
    records = [
        a_record(2, RunRecord("train", PASSED), commit=A, metrics=(metric,)),
        a_record(1, RunRecord("train", FAILED), commit=A, metrics=(metric,), project=other),
    ]
    stories, courses = run_stories(records), courses_of(records)
    assert [(story.project, story.flaky) for story in stories] == [(other, False), (CHURN, False)]
    assert sorted(course.builds for course in courses) == [1, 1]


def test_flaky_runs_are_first_and_then_those_that_fail_most() -> None:
    records = [
        a_record(
            2, RunRecord("good", PASSED), RunRecord("bad", FAILED), RunRecord("odd", PASSED, DIED)
        ),
        a_record(1, RunRecord("good", PASSED), RunRecord("bad", FAILED), RunRecord("odd", PASSED)),
    ]
    stories = run_stories(records)
    assert [story.name for story in stories] == ["odd", "bad", "good"]
    assert stories[0].flaked == records[0]
    assert [status for status, _ in stories[1].last] == [FAILED, FAILED]


@pytest.mark.parametrize(
    ("span", "count", "step"),
    [
        (timedelta(0), 1, timedelta(hours=1)),
        (timedelta(hours=30), 10, timedelta(hours=6)),
        (timedelta(hours=30), 500, timedelta(hours=1)),
        (timedelta(days=30), 500, timedelta(hours=12)),
        (timedelta(days=60), 5_000, timedelta(days=1)),
        (timedelta(days=415), 5_000, timedelta(weeks=1)),
        (timedelta(days=365 * 60), 5_000, timedelta(days=364)),
    ],
)
def test_builds_by_time_are_few_bars_whatever_their_number(
    span: timedelta, count: int, step: timedelta
) -> None:
    first = datetime(2025, 3, 5, 9, 30, tzinfo=UTC)
    gap = span / max(count - 1, 1)
    bins = bins_of([a_record(number, began=first + gap * number) for number in range(count)])
    assert bins[0].step == step
    assert len(bins) <= 64
    assert sum(each.total for each in bins) == count
    assert [each.start + step for each in bins[:-1]] == [each.start for each in bins[1:]]
    assert bins[0].start <= first < bins[0].start + step


def test_weeks_begin_on_monday() -> None:
    bins = bins_of(a_history(5_000))
    assert bins[0].step == timedelta(weeks=1)
    assert {each.start.weekday() for each in bins} == {0}


def test_a_canceled_build_is_not_judged() -> None:
    assert pass_rate({Verdict.CANCELED: 3}) is None
    assert pass_rate({Verdict.SUCCEEDED: 3, Verdict.FAILED: 1, Verdict.CANCELED: 9}) == 0.75


def test_quantiles_lie_between_values() -> None:
    values = [1.0, 2.0, 4.0]
    assert [quantile(values, part) for part in (0, 0.25, 0.5, 1)] == [1.0, 1.5, 2.0, 4.0]


def test_a_metric_of_few_builds_has_a_point_for_each() -> None:
    bound = MetricRecord("train", "r2", 0.91, at_least=0.9, passed=True)
    records = [
        a_record(2, metrics=(bound,), outcome=PromotionOutcome.PROMOTED, version="f" * 12),
        a_record(1, metrics=(MetricRecord("train", "r2", 0.8, at_least=0.85, passed=False),)),
    ]
    [course] = courses_of(records)
    assert [(each.value, each.failed, each.at_least) for each in course.points] == [
        (0.8, 1, 0.85),
        (0.91, 0, 0.9),
    ]
    assert [each.version for each in course.points] == [None, "f" * 12]
    assert (course.gated, course.merged, course.promotions) == (True, False, 1)


def test_a_metric_of_many_builds_has_medians() -> None:
    values = [float(number) for number in range(1_000)]
    records = [a_record(n, metrics=(MetricRecord("train", "r2", v),)) for n, v in enumerate(values)]
    [course] = courses_of(records[::-1])
    assert course.merged
    assert len(course.points) == 60
    assert sum(each.builds for each in course.points) == 1_000
    assert (course.points[0].low, course.points[-1].high) == (0.0, 999.0)
    assert all(each.low < each.value < each.high for each in course.points)
    assert course.last.value == 999.0


def test_metrics_of_the_gate_come_first() -> None:
    gated = MetricRecord("train", "z", 1.0, at_most=2.0, passed=True)
    other = MetricRecord("train", "a", 1.0)
    records = [a_record(2, metrics=(other,)), a_record(1, metrics=(gated, other))]
    assert [course.metric for course in courses_of(records)] == ["z", "a"]
