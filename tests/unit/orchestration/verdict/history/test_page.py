"""The page of many builds, as text."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.promotions import PromotionOutcome
from mlgate.orchestration.verdict.history.charts import Scale
from mlgate.orchestration.verdict.history.page import history_html
from mlgate.orchestration.verdict.history.records import MetricRecord, Project, Record, RunRecord
from mlgate.orchestration.verdict.history.tables import FLAKY
from tests.unit.orchestration.verdict.history.samples import (
    DIED,
    FAILED,
    NOW,
    PASSED,
    a_history,
    a_record,
)
from tests.unit.orchestration.verdict.samples import HOSTILE

MONO = Project("https://dev.azure.com/c/p/_git/mono", "pricing", "plans/nightly.json")
MODEL = Project("churn")
PROMOTED = a_record(
    9, kind="promote", outcome=PromotionOutcome.PROMOTED, version="3f9a", project=MODEL
)
R2 = MetricRecord("train", "r2", 0.9371, at_least=0.9, passed=True)


def page(*records: Record) -> str:
    return history_html(records, lambda record: f"{record.key}/report.html", NOW).decode()


CASES = {
    "nothing yet": ((), "No build has ended yet."),
    "a build": ((a_record(7),), '<a href="00000000000000000000000000000007/report.html">20007</a>'),
    "its day": ((a_record(7),), "28 October 2026"),
    "a flaky run": ((a_record(1, RunRecord("train", PASSED, DIED)),), '<span class="badge">flaky'),
    "what flaky means": ((a_record(1, RunRecord("train", PASSED)),), FLAKY),
    "why it is flaky": (
        (
            a_record(2, RunRecord("t", PASSED), commit="a"),
            a_record(1, RunRecord("t", FAILED), commit="a"),
        ),
        "Failed and passed for 1 commit; last in ",
    ),
    "a metric and its bound": (
        (a_record(1, metrics=(R2,)),),
        "r2 of train over 1 builds: 0.9371 at first, 0.9371 at last, between 0.9371 and 0.9371; "
        "it must be ≥ 0.9; 0 were promoted.",
    ),
    "a promotion": (
        (a_record(1, metrics=(R2,), outcome=PromotionOutcome.PROMOTED, version="3f9a1c0b7d52"),),
        "promoted 3f9a1c0b7d52</title>",
    ),
    "a reason": ((a_record(1, verdict=Verdict.FAILED, reason="r2 is 0.1"),), "r2 is 0.1"),
    "a rollback among the newest": (
        (a_record(1, kind="rollback", outcome=PromotionOutcome.ROLLED_BACK, project=MODEL),),
        "rolled back",
    ),
    "a promotion behind an approval": (
        (PROMOTED, a_record(1, metrics=(R2,), outcome=PromotionOutcome.KEPT, version="3f9a")),
        "<dt>Promotions</dt><dd>1<small>the last on 29 October 2026<",
    ),
    "its mark": (
        (PROMOTED, a_record(1, metrics=(R2,), outcome=PromotionOutcome.KEPT, version="3f9a")),
        "promoted 3f9a</title>",
    ),
    "nothing but promotions": ((PROMOTED,), "<dt>Promotions</dt><dd>1<"),
    "where in a repository": (
        (a_record(2, metrics=(R2,)), a_record(1, metrics=(R2,), project=MONO)),
        '<h3 class="subject" title="dev.azure.com/c/p/mono · pricing · plans/nightly.json">'
        "p/mono · pricing · plans/nightly.json</h3>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_the_page_says(case: str) -> None:
    records, text = CASES[case]
    assert text in page(*records)


def test_checks_and_rollbacks_are_not_judged_builds() -> None:
    said = page(a_record(1), a_record(2, kind="check", verdict=Verdict.FAILED))
    assert "<dt>Builds</dt><dd>1<" in said
    assert "<dt>Passed</dt><dd>100 %<" in said


def test_promotions_alone_are_builds_that_have_ended() -> None:
    said = page(PROMOTED)
    assert "No build has ended yet." not in said
    assert 'href="#over-time"' not in said


def test_a_build_without_a_report_is_not_linked() -> None:
    said = history_html([a_record(7)], lambda _: None, NOW).decode()
    assert "20007" in said
    assert "report.html" not in said


@pytest.mark.parametrize("count", [1, 10, 60, 61, 5_000])
def test_it_is_small_and_soon_made_and_well_formed(count: int) -> None:
    records = a_history(count)
    before = time.process_time()
    content = history_html(records, lambda record: f"{record.key}/report.html", NOW)
    assert time.process_time() - before < 5
    assert len(content) < 1_000_000
    for drawing in re.findall(r"<svg.*?</svg>", content.decode(), re.DOTALL):
        root = ET.fromstring(drawing)
        assert root.get("aria-hidden") == "true" or root.get("aria-label")
        assert "nan" not in drawing.replace("sensed", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_stays_text(text: str) -> None:
    metric = MetricRecord(text, text, 1.0, at_most=0.5, passed=False)
    fields = {
        "build_id": text,
        "project": Project(text, text, text),
        "commit": text,
        "reason": text,
        "version": text,
    }
    outcome = PromotionOutcome.PROMOTED
    runs = RunRecord(text, FAILED), RunRecord(f"{text}2", PASSED, DIED)
    shown = page(a_record(1, *runs, metrics=(metric,), outcome=outcome, **fields))
    found = Elements(shown)
    assert not {"script", "img", "h4"} & found.tags
    assert not [name for name in found.attributes if name.startswith("on")]
    assert all(href.startswith(("#", "data:", "0000")) for href in found.links)
    assert "\x1b" not in shown


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.0], 0.0, 1.0), ([5.0], 4.5, 5.5), ([0.0, 1.0], 0.0, 1.12), ([-1.0, 1.0], -1.24, 1.24)],
)
def test_a_scale_has_room_and_stays_above_nothing(
    values: list[float], low: float, high: float
) -> None:
    scale = Scale.around(values)
    assert (scale.low, scale.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("most", "high"), [(0, 1), (1, 1), (3, 4), (9, 10), (168, 200), (0.03, 0.04)]
)
def test_counts_end_at_a_round_number(most: float, high: float) -> None:
    assert Scale.counting(most).high == pytest.approx(high)
