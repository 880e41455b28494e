"""`report.html`, read by a parser; `tests/e2e/test_report_page.py` looks at it in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgate.orchestration.builds import Build, Gate, GateMetric, MetricCheck, Verdict
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.verdict.page.page import page_html
from tests.unit.orchestration.verdict.samples import (
    HOSTILE,
    a_build,
    a_run,
    code_cell,
    executed,
    failed_run,
    hostile_build,
    hostile_notebooks,
    leaving,
    notebook,
    plot,
    png,
    skipped_run,
    with_notebooks,
)


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(
    build: Build,
    notebooks: Mapping[str, bytes] | None = None,
) -> Page:
    return Page(html_of(build, notebooks or {}).decode())


def html_of(build: Build, notebooks: Mapping[str, bytes]) -> bytes:
    return b"".join(page_html(*with_notebooks(build, notebooks)))


def test_it_says_the_verdict_why_and_what_was_executed() -> None:
    shown = page(a_build(a_run("explore"), reason="1 of 1 run passed."))
    for text in ("Succeeded", "1 of 1 run passed.", "9fceb02d0ae5", "explore", "Azure ML"):
        assert text in shown.text


def test_nothing_can_run_or_be_loaded() -> None:
    """The policy allows the page's own style sheet, by its hash, and images within the page."""
    html = html_of(a_build(a_run()), {}).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = Page(html).all("meta")[1]["content"]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not {"script", "iframe", "object", "base", "form"} & {
        tag for tag, _ in Page(html).elements
    }


def test_failures_come_first_and_the_table_keeps_the_order_of_the_message() -> None:
    build = a_build(a_run("a-passed"), failed_run("z-failed"), skipped_run("b", ("z-failed",)))
    shown = page(build).text
    failures, table, others = (
        shown.index(title) for title in ("What failed", "All runs", "Details")
    )
    assert failures < shown.index("z-failed", failures) < table
    assert table < shown.index("a-passed", table) < shown.index("z-failed", table) < others
    assert "needs z-failed, which did not succeed" in shown


def test_a_failure_shows_its_kind_cell_message_source_and_traceback() -> None:
    shown = page(a_build(failed_run("explore")), {"explore": executed(5, failing=3)}).text
    for text in ("code, cell 3", "KeyError: 'demand'", "step(3)", '----> 1 frame["demand"]', "3/5"):
        assert text in shown
    assert "2 succeeded, 1 failed, 2 not run" in shown


def test_without_a_traceback_the_failing_cell_tells_its_own() -> None:
    error = {"output_type": "error", "traceback": ["KeyboardInterrupt: stopped"]}
    ipynb = notebook(code_cell(3, "failed", outputs=[error]))
    shown = page(a_build(failed_run("explore", traceback=None)), {"explore": ipynb})
    assert "KeyboardInterrupt: stopped" in shown.text


def test_gate_metrics_are_shown_with_value_and_bound() -> None:
    metric = GateMetric("train", "r2", at_least=0.9)
    check = MetricCheck(metric, 0.89999999, False, "train: r2 is too small")
    build = a_build(a_run("train"), gate=Gate("all_pass", (metric,)), metric_checks=(check,))
    shown = page(build).text
    for text in ("0.89999999", "≥ 0.9", "train: r2 is too small"):
        assert text in shown


def test_plots_are_inside_the_page() -> None:
    build = a_build(a_run("explore"))
    (image,) = page(build, {"explore": executed(3, plotting=[2])}).all("img")
    assert image["alt"] == "Plot 1 of explore, from cell 2"
    assert (image["src"] or "").startswith("data:image/png;base64,")


def test_kept_files_are_linked_relative_to_the_folder_of_the_build() -> None:
    kept = a_build(a_run("explore", outputs=("runs/explore/outputs/a b#1.csv",)))
    links = page(leaving(kept, {"explore": ["executed.html", "log.txt"]})).all("a")
    executed_links = [link for link in links if link["href"] == "runs/explore/executed.html"]
    assert len(executed_links) == 2
    assert {link["rel"] for link in executed_links} == {"noopener noreferrer"}
    assert "runs/explore/outputs/a%20b%231.csv" in {link["href"] for link in links}


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "runs/../../secret", "javascript:alert(1)", "//evil.example/x", "other"]
)
def test_a_path_that_leaves_the_folder_is_not_a_link(path: str) -> None:
    shown = page(a_build(a_run("explore", outputs=(path,))))
    assert path in shown.text
    assert all(
        (link["href"] or "").startswith(("#", "https", "result", "junit"))
        for link in shown.all("a")
    )


def test_only_web_addresses_are_linked() -> None:
    run = a_run("train", RunKind.TRAINING, studio_url="javascript:alert(1)")
    shown = page(a_build(run))
    assert "studio" not in shown.text
    linked = page(a_build(a_run("train", studio_url="https://ml.azure.com/runs/1")))
    assert "https://ml.azure.com/runs/1" in {link["href"] for link in linked.all("a")}


@pytest.mark.parametrize(("failures", "unfolded"), [(3, 3), (4, 0)])
def test_a_few_failures_are_unfolded_and_many_are_a_list(failures: int, unfolded: int) -> None:
    runs = [failed_run(f"run-{number}") for number in range(failures)]
    details = page(a_build(*runs, a_run("a"), a_run("b"))).all("details")
    assert sum("open" in run for run in details) == unfolded


def test_a_build_without_runs_shows_its_reason_alone() -> None:
    shown = page(a_build(verdict=Verdict.FAILED, reason="There is no ref mian.", commit=None))
    assert "There is no ref mian." in shown.text
    assert "No run was started." in shown.text
    assert not shown.all("table")


def test_a_canceled_build_does_not_speak_of_failures() -> None:
    run = a_run("train", status=RunStatus.CANCELED)
    shown = page(a_build(run, verdict=Verdict.CANCELED, reason="The step ended.")).text
    assert "What was canceled" in shown
    assert "What failed" not in shown


def test_the_page_stays_small_whatever_the_runs_produce() -> None:
    ipynb = executed(30, plotting=range(1, 31)).replace(b"<Figure>", b"x" * 100_000)
    runs = [
        a_run(
            f"run-{number}",
            status=RunStatus.FAILED,
            failure=failed_run(message="m" * 100_000, traceback="t\n" * 500_000).failure,
            metrics={f"metric-{key}": float(key) for key in range(500)},
            warnings=("w" * 100_000,) * 50,
            outputs=tuple(f"runs/run-{number}/{key}.csv" for key in range(1000)),
        )
        for number in range(50)
    ]
    html = html_of(a_build(*runs), {run.spec.name: ipynb for run in runs})
    assert len(html) < 12_000_000
    assert b"and 901 more" in html
    assert b"6 more in the executed notebook" in html


def test_plots_of_failures_come_before_the_rest_when_there_are_too_many() -> None:
    output = plot(content=png() + bytes(2_900_000))
    ipynb = notebook(code_cell(1, outputs=[output]))
    runs = (*(a_run(f"passed-{number}") for number in range(4)), failed_run("failed"))
    shown = page(a_build(*runs), {run.spec.name: ipynb for run in runs})
    assert [image["alt"] for image in shown.all("img")] == [
        "Plot 1 of failed, from cell 1",
        "Plot 1 of passed-0, from cell 1",
        "Plot 1 of passed-1, from cell 1",
    ]
    assert shown.text.count("1 more in the executed notebook.") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_stays_text(text: str) -> None:
    shown = page(hostile_build(text), hostile_notebooks(text))
    known = page(hostile_build("harmless"), hostile_notebooks("harmless"))
    assert {tag for tag, _ in shown.elements} <= {tag for tag, _ in known.elements}
    for tag, attributes in shown.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert not (attributes.get("href") or "").startswith(("javascript", "//", "/"))
    assert not {"\x1b", "\x00"} & set(shown.text)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_makes_a_page_of_the_same_structure(text: str) -> None:
    shown = page(hostile_build(text), hostile_notebooks(text))
    assert len(shown.all("table")) == 2
    assert len(shown.all("details")) == 2
    assert not shown.all("script")
