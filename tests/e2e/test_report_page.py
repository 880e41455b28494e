"""`report.html` as reviewers see it: opened from its folder in a real browser.

Needs Chromium (`apt-get install chromium`) and the playwright package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from mlgate.orchestration.builds import Build, Gate, GateMetric, MetricCheck, Verdict
from mlgate.orchestration.runs import RunKind
from mlgate.orchestration.verdict.page.page import page_html
from tests.unit.orchestration.verdict.samples import (
    HOSTILE,
    a_build,
    a_run,
    executed,
    failed_run,
    hostile_build,
    hostile_notebooks,
    leaving,
    skipped_run,
)

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1280, 800), (390, 844)

R2 = GateMetric("train", "r2", at_least=0.9)
PASSING = a_build(
    a_run("explore", metrics={"seasonality": 0.8132}),
    a_run("train", RunKind.TRAINING, metrics={"r2": 0.9342}),
    gate=Gate("all_pass", (R2,)),
    metric_checks=(MetricCheck(R2, 0.9342, True, "train: r2 is 0.9342"),),
)
FAILING = a_build(
    a_run("prepare"),
    failed_run("explore"),
    skipped_run("publish", needs=("explore",)),
    verdict=Verdict.FAILED,
    reason="1 of 3 runs passed; all must pass. explore failed (code, cell 3): KeyError: 'demand'",
)
REJECTED = a_build(
    verdict=Verdict.FAILED,
    reason="The repository has no ref refs/heads/mian; check repository.ref of the message.",
)
MANY = a_build(
    *(
        failed_run(f"tutorial-{number:03}-with-a-rather-long-name-in-a-deep-folder-of-notebooks")
        if number % 9 == 0
        else a_run(f"tutorial-{number:03}", metrics={"accuracy": number / 500})
        for number in range(500)
    ),
    verdict=Verdict.FAILED,
    reason="444 of 500 runs passed; all must pass.",
)
BUILDS = {"passing": PASSING, "failing": FAILING, "rejected": REJECTED, "many": MANY}

TEXT_OF_LITTLE_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const luminance = colors => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => value / 255)
      .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
      .map(node => node.data.trim()).join('');
    if (!text || !element.checkVisibility()) continue;
    const behind = [];
    for (let parent = element; parent; parent = parent.parentElement)
      behind.unshift(getComputedStyle(parent).backgroundColor);
    const tones = [luminance(behind), luminance([...behind, getComputedStyle(element).color])];
    const ratio = (Math.max(...tones) + 0.05) / (Math.min(...tones) + 0.05);
    if (ratio < 4.5) faint.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@dataclass
class Visitor:
    """Opens the reports of builds, and notes what their pages ask for and complain about."""

    folder: Path
    context: BrowserContext
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, build: Build, size: tuple[int, int] = DESKTOP) -> Page:
        notebooks = {run.spec.name: executed(6, 3, plotting=[2]) for run in build.runs}
        return self.open_with(build, notebooks, size)

    def open_with(
        self, build: Build, notebooks: dict[str, bytes], size: tuple[int, int] = DESKTOP
    ) -> Page:
        left = ("executed.html", "executed.ipynb", "log.txt")
        shown = leaving(build, {run.spec.name: left for run in build.runs})
        report = self.folder / "report.html"
        parts = page_html(shown, lambda run: notebooks.get(run.spec.name))
        report.write_bytes(b"".join(parts))
        page = self.context.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(report.as_uri())
        return page

    @property
    def outside(self) -> list[str]:
        """What was asked for beside the page and what is inside it."""
        page = (self.folder / "report.html").as_uri()
        return [url for url in self.requests if not url.startswith((page, "data:"))]


@pytest.fixture
def visitor(browser: Browser, tmp_path: Path) -> Iterator[Visitor]:
    context = browser.new_context()
    yield Visitor(tmp_path, context)
    context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", BUILDS)
def test_the_verdict_and_why_are_seen_without_scrolling(
    visitor: Visitor, name: str, size: tuple[int, int]
) -> None:
    """Nothing scrolls sideways, nothing is loaded, nothing is complained about."""
    build = BUILDS[name]
    page = visitor.open(build, size)
    for locator, text in (("h1", build.verdict or ""), (".reason", build.reason)):
        element = page.locator(locator)
        box = element.bounding_box()
        assert element.inner_text().lower() == text.lower()
        assert box is not None
        assert box["y"] + box["height"] <= size[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert visitor.outside == []
    assert visitor.complaints == []


def test_the_style_sheet_is_allowed_by_the_policy(visitor: Visitor) -> None:
    page = visitor.open(PASSING)
    radius = "getComputedStyle(document.querySelector('.verdict > div')).borderTopLeftRadius"
    assert page.evaluate(radius) == "10px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(visitor: Visitor, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2 asks for 4.5 to 1 (level AA); what is drawn over what is resolved by a canvas."""
    page = visitor.open(FAILING)
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
    assert page.evaluate(TEXT_OF_LITTLE_CONTRAST) == []


def test_plots_are_rendered(visitor: Visitor) -> None:
    page = visitor.open(PASSING)
    image = page.locator("img").first
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    assert image.is_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_name_of_a_run_leads_to_its_details(visitor: Visitor, size: tuple[int, int]) -> None:
    page = visitor.open(MANY, size)
    traceback = page.locator("#run-10 pre").last
    assert not traceback.is_visible()
    page.locator("table a[href='#run-10']").click()
    traceback.wait_for(state="visible")
    assert "KeyError: 'demand'" in traceback.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_executed_notebook_is_one_click_away(visitor: Visitor) -> None:
    notebook = visitor.folder / "runs" / "explore" / "executed.html"
    notebook.parent.mkdir(parents=True)
    notebook.write_text("<title>the executed notebook</title>")
    page = visitor.open(PASSING)
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Executed notebook").first.click()
    popup.value.wait_for_load_state()
    assert popup.value.title() == "the executed notebook"


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_is_neither_executed_nor_loaded(visitor: Visitor, text: str) -> None:
    page = visitor.open_with(hostile_build(text), dict(hostile_notebooks(text)), PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
    assert page.locator("h1").inner_text() == "Failed"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert visitor.outside == []
    assert visitor.complaints == []
