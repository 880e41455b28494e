"""What the history keeps of a build."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta

import pytest
from hypothesis import given, settings

from mlgate.orchestration.builds import Build, GateMetric, MetricCheck, RepositoryRequest, Verdict
from mlgate.orchestration.models import Compared
from mlgate.orchestration.promotions import Promotion, PromotionOutcome
from mlgate.orchestration.runs import Failure, RunStatus
from mlgate.orchestration.verdict.history.numbers import run_stories
from mlgate.orchestration.verdict.history.page import history_html
from mlgate.orchestration.verdict.history.records import (
    MOST,
    MetricRecord,
    Project,
    RunRecord,
    newest,
    packed,
    record_of,
    unpacked,
)
from tests.unit.orchestration.verdict.any_builds import BUILDS
from tests.unit.orchestration.verdict.history.samples import DIED, NOW, a_history, a_record
from tests.unit.orchestration.verdict.samples import a_build, a_run, failed_run

LOST = [Failure(DIED[0], "The kernel died.").note(number) for number in (1, 2)]


def test_a_build_is_a_few_lines() -> None:
    r2 = GateMetric("train", "r2", at_least=0.9)
    promotion = Promotion("churn", PromotionOutcome.PROMOTED, id="3f9a1c0b7d52", number=4)
    build = a_build(
        a_run("prepare", seconds=30.0),
        a_run(
            "train",
            metrics={"r2": 0.93, "loss": 0.2, "auc": 0.8},
            attempt=3,
            warnings=(*LOST, "slow"),
        ),
        metric_checks=(MetricCheck(r2, 0.93, True, "train: r2 is 0.93"),),
        promotion=Promotion(
            promotion.model,
            promotion.outcome,
            id=promotion.id,
            comparison=(Compared("train", "loss", 0.2, 0.3, False, None),),
        ),
    )
    record = record_of(build)
    assert record is not None
    assert record.runs == (
        RunRecord("prepare", RunStatus.SUCCEEDED, (), 30.0),
        RunRecord("train", RunStatus.SUCCEEDED, DIED, 90.0),
    )
    assert [(each.metric, each.at_least, each.passed) for each in record.metrics] == [
        ("r2", 0.9, True),
        ("loss", None, None),
        ("auc", None, None),
    ]
    assert (record.model, record.version, record.promoted) == ("churn", "3f9a1c0b7d52", True)
    assert (record.passed, record.total, record.seconds) == (2, 2, 42 * 60.0)


def test_a_project_is_a_folder_of_a_repository_and_the_plan_in_it() -> None:
    build = a_build(
        a_run(),
        request={"runs_from": "nightly.json"},
        repository=RepositoryRequest("https://example.com/mono", subdirectory="pricing"),
    )
    record = record_of(build)
    assert record is not None
    assert record.project == Project("https://example.com/mono", "pricing", "nightly.json")


def test_of_a_large_build_all_runs_count() -> None:
    names = [f"r{number:03}" for number in range(500)]
    builds = [
        a_build(*(failed_run(n) if n == failing else a_run(n) for n in names), key=failing)
        for failing in ("r000", "r499")
    ]
    stories = {
        each.name: each for each in run_stories(newest(filter(None, map(record_of, builds))))
    }
    assert len(stories) == 500
    assert {(stories[name].passed, stories[name].ended) for name in ("r000", "r499")} == {(1, 2)}
    assert (stories["r250"].passed, stories["r250"].ended) == (2, 2)


@pytest.mark.parametrize("beginning", ["m" * 300, "m\n" * 3, "m\x1b" * 3, "\ud800"])
def test_names_that_are_cut_stay_apart(beginning: str) -> None:
    names = [f"{beginning}{end}" for end in ("a", "b", "", " ")]
    record = record_of(a_build(a_run("train", metrics=dict.fromkeys(names, 0.5))))
    assert record is not None
    kept = {each.metric for each in record.metrics}
    assert len(kept) == len(names)
    assert max(map(len, kept)) <= 120


def test_a_build_without_a_verdict_has_none() -> None:
    assert record_of(a_build(verdict=None)) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, 1e200])
def test_a_value_that_cannot_be_drawn_is_left_out(value: float) -> None:
    record = record_of(a_build(a_run("train", metrics={"loss": value})))
    assert record is not None
    assert record.metrics == ()


def test_records_come_back_from_their_file() -> None:
    records = a_history(50)
    assert unpacked(packed(records)) == records


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no json"),
        gzip.compress(b"[]"),
        gzip.compress(json.dumps({"version": 3, "builds": []}).encode()),
        gzip.compress(json.dumps({"version": 2, "builds": [{"key": 3}]}).encode()),
        packed(a_history(3))[:-40],
    ],
    ids=["empty", "bytes", "text", "list", "newer", "other", "cut"],
)
def test_a_file_that_cannot_be_read_is_as_none(content: bytes) -> None:
    assert unpacked(content) == []


def test_the_newest_are_kept_and_each_once() -> None:
    records = [a_record(number) for number in range(MOST + 10)]
    kept = newest([*records, records[-1]])
    assert kept == records[:9:-1]


def test_of_the_oldest_of_many_large_builds_no_runs_are_kept_and_all_can_be_read() -> None:
    text = "\U0001f600" * 200
    runs = tuple(RunRecord(f"r{number}", RunStatus.SUCCEEDED) for number in range(5))
    metric = MetricRecord(text[:120], text[:120], 0.5)
    project = Project(text, text, text)
    kept = newest(
        a_record(number, *runs, metrics=(metric,) * 20, project=project, reason=text, model=text)
        for number in range(MOST)
    )
    counts = [(len(record.runs), len(record.metrics)) for record in kept]
    some = counts.index((0, 0))
    assert 0 < some < MOST
    assert counts == [(5, 20)] * some + [(0, 0)] * (MOST - some)
    assert kept[-1].total == 5
    assert newest(kept) == kept
    assert unpacked(packed(kept)) == kept


@settings(max_examples=60, deadline=None)
@given(BUILDS)
def test_any_build_has_its_place(build: Build) -> None:
    record = record_of(build)
    if record is None:
        assert build.verdict is None
        return
    [back] = unpacked(packed([record]))
    assert back == record
    older = a_record(began=record.began - timedelta(days=1)) if record.began.year > 1 else record
    assert b"</html>" in history_html(newest([record, older]), lambda _: "report.html", NOW)


def test_a_verdict_is_needed_for_a_pass() -> None:
    record = record_of(a_build(failed_run(), verdict=Verdict.FAILED))
    assert record is not None
    assert record.verdict is Verdict.FAILED
