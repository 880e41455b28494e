"""The markdown summary, judged by what a CommonMark renderer makes of it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlgate.orchestration.builds import Build, GateMetric, MetricCheck, Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.verdict.summary import summary_markdown
from tests.unit.orchestration.verdict.samples import (
    HOSTILE,
    TRACEBACK,
    a_build,
    a_run,
    failed_run,
    hostile_build,
    skipped_run,
)


def rendered(build: Build) -> ET.Element:
    html = MarkdownIt("commonmark").enable("table").render(summary_markdown(build))
    return ET.fromstring(f"<body>{html}</body>")


def texts(page: ET.Element, path: str) -> list[str]:
    return ["".join(element.itertext()) for element in page.findall(path)]


def test_it_says_the_verdict_why_and_every_run() -> None:
    page = rendered(
        a_build(
            a_run(
                "prepare", metrics={"rows": 10.0}, studio_url="https://ml.azure.com/runs/1?a=(b)"
            ),
            failed_run("explore_demand"),
            skipped_run("publish", needs=("explore_demand",)),
            verdict=Verdict.FAILED,
            reason="1 of 3 runs passed; all must pass.",
        )
    )
    assert texts(page, "h1") == ["Failed: build 20418"]
    assert "Why: 1 of 3 runs passed; all must pass." in texts(page, "p")
    assert "3 runs: 1 succeeded, 1 failed, 1 skipped." in texts(page, "p")
    assert texts(page, "table/tbody/tr[1]/td") == [
        "prepare",
        "notebook",
        "succeeded",
        "1 min 30 s",
        "1",
        "rows 10",
        "studio",
    ]
    assert [link.get("href") for link in page.iter("a")] == [
        "https://ml.azure.com/runs/1?a=%28b%29"
    ]
    assert texts(page, "table/tbody/tr[2]/td")[:3] == ["explore_demand", "notebook", "failed"]
    assert texts(page, "h2") == ["explore_demand failed"]
    assert texts(page, "pre") == [TRACEBACK + "\n"]


def test_gate_metrics_are_told_in_full_digits() -> None:
    metric = GateMetric("train", "r2", at_least=0.9)
    checks = (MetricCheck(metric, 0.89999999, False, "train: r2 is 0.9, must be at least 0.9"),)
    page = rendered(a_build(metric_checks=checks))
    assert texts(page, "table/tbody/tr/td") == [
        "train",
        "r2",
        "≥ 0.9",
        "0.89999999",
        "failed train: r2 is 0.9, must be at least 0.9",
    ]


def test_a_run_that_was_canceled_is_explained() -> None:
    run = a_run(status=RunStatus.CANCELED)
    assert "Cause: canceled while it ran" in texts(rendered(a_build(run)), "p")


def test_a_build_without_runs_says_why_and_nothing_else() -> None:
    page = rendered(a_build(verdict=Verdict.FAILED, reason="No ref `mian`."))
    assert ["".join(element.itertext()) for element in page] == [
        "Failed: build 20418",
        "Why: No ref `mian`.",
    ]


def test_a_traceback_cannot_end_its_fence() -> None:
    trace = "before\n```\n````` \n# heading\n~~~\nafter"
    page = rendered(a_build(failed_run(traceback=trace), verdict=Verdict.FAILED))
    assert texts(page, "pre") == [trace + "\n"]


def test_only_the_first_failures_are_told_at_length() -> None:
    runs = (failed_run(f"run-{number}", traceback="x" * 50_000) for number in range(500))
    text = summary_markdown(a_build(*runs, verdict=Verdict.FAILED))
    assert "And 480 more" in text
    assert len(text) < 250_000


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_is_text(text: str) -> None:
    page = rendered(hostile_build(text))
    structure = {element.tag for element in page.iter()}
    plain = {"body", "h1", "h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert structure <= plain | {"pre", "code"}
    assert len(page.findall("table")) == 2
    assert len(page.findall("table[1]/tbody/tr")) == 2
    assert all(len(row) == 7 for row in page.findall("table[1]/tbody/tr"))


def test_addresses_in_text_of_others_do_not_become_links() -> None:
    """Renderers of pipelines link bare addresses, which CommonMark alone does not."""
    reason = "see https://evil.example or www.evil.example"
    assert "see https:\\//evil.example or www\\.evil" in summary_markdown(a_build(reason=reason))


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(st.characters(exclude_categories=())))
@example("http://")
@example("https://x")
def test_any_text_leaves_the_structure_alone(text: str) -> None:
    page = rendered(hostile_build(text))
    assert len(page.findall("h1")) == 1
    assert len(page.findall("table")) == 2
    # Where the text is an address, the backend gave it, too, as that of its page of the run.
    assert {link.text for link in page.iter("a")} <= {"studio"}
    assert not list(page.iter("img"))
