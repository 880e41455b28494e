"""Makes the pictures of the README from real runs: `make pictures`, which needs Chromium.

The report is the page that `mlgate run` leaves. The step is drawn: what Azure DevOps makes of the
callbacks cannot be photographed here, so what mlgate sent to the emulator is shown in that order,
and the picture says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from html import escape
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops.task import Task
from mlgate.hosts.local_pipeline import local_pipeline
from mlgate.hosts.local_queue import LocalQueue
from mlgate.hosts.settings import Settings

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
ADDRESS = "https://dev.azure.com/contoso/flowers/_git/flowers"
BUILD_ID = "4711"
MINUTES = 10

STEP: Mapping[str, Any] = {
    "runs": [
        {
            "kind": "notebook",
            "path": "examples/iris/explore.ipynb",
            "environment": {"requirements": "examples/iris/requirements.txt"},
        },
        {"kind": "notebook", "path": "examples/failing/report.ipynb"},
        {
            "kind": "training",
            "name": "publish",
            "command": "python publish.py",
            "needs": ["report"],
        },
    ],
}
MARKS = {"Passed": ("✓", "#1a7f4b"), "Failed": ("✗", "#c01f2e"), "NotExecuted": ("-", "#667")}

STYLE = """
body { margin: 0; padding: 20px; background: #f6f6f4; width: 920px; color: #1b1f24;
  font: 14px/1.45 'Segoe UI', 'DejaVu Sans', sans-serif }
section { background: #fff; border: 1px solid #dfe1e0; border-radius: 6px; margin-bottom: 14px;
  padding: 12px 18px }
h1 { font-size: 16px; margin: 0 0 8px } h1 b, .error b { color: #c01f2e }
small, p { color: #59616b; font-weight: normal; font-size: 13px }
p { margin: 0 } .error { margin: 3px 0 }
pre { margin: 0; font: 12.5px/1.5 'DejaVu Sans Mono', monospace; white-space: pre-wrap }
pre i { color: #98a0a8; font-style: normal; display: inline-block; width: 2.2em }
.section { color: #1a7f4b } .error { color: #c01f2e } div.error { color: inherit }
table { border-collapse: collapse; width: 100% } td { padding: 4px 10px 4px 0; vertical-align: top }
"""


@contextmanager
def repository() -> Iterator[Path]:
    """The examples, as a repository of their own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "flowers"
        shutil.copytree(
            ROOT / "examples", root / "examples", ignore=shutil.ignore_patterns("__pycache__")
        )
        git = ["git", "-C", str(root), "-c", "user.name=You", "-c", "user.email=you@example.org"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Flowers"]):
            subprocess.run([*git, *command], check=True)
        yield root


@contextmanager
def ended(root: Path, message: Mapping[str, Any]) -> Iterator[tuple[Task, Path]]:
    """The step of a build that has ended, and the build's files."""
    home = root.parent / "home"
    settings = Settings.read(
        {
            **{name: os.environ[name] for name in ("PATH", "HOME")},
            "MLGATE_HOME": str(home),
            "MLGATE_STATE": f"sqlite:{home}/state.db",
            "MLGATE_ALLOWED_REPOSITORIES": str(root),
            "MLGATE_ALLOWED_MODELS": f"iris={root}",
            "MLGATE_PARALLEL": "1",
        }
    )
    files = root.parent / "build"
    repository = {**message.get("repository", {}), "url": str(root)}
    whole = {"version": 1, **message, "build_id": BUILD_ID, "repository": repository}
    folder = chdir(root.parent)  # where the model goes
    own = FolderFiles(lambda _: files)
    with (
        folder,
        LocalQueue() as queue,
        local_pipeline(settings, whole, 1, lambda _: own, queue) as local,
    ):
        if not local.wait(60 * MINUTES):
            raise SystemExit(f"the build did not end within {MINUTES} minutes")
        yield local.task, files


def command(line: str) -> str:
    """The formatting command that a line of the log begins with, or nothing."""
    return line[3:].partition("]")[0] if line.startswith("##[") else ""


def step(task: Task) -> str:
    """The step as a page, of what the pipeline was sent."""
    record = task.record
    errors = "".join(
        f'<div class="error"><b>✗</b> {escape(issue["message"])}</div>'
        for issue in record.issues
        if issue["type"] == "error"
    )
    log = "\n".join(
        f'<i>{number}</i><span class="{command(line.text)}">{escape(line.text)}</span>'
        for number, line in enumerate(task.feed, 1)
    )
    [tests] = task.test_runs
    rows = ""
    for result in tests.results.values():
        mark, color = MARKS[result.fields["outcome"]]
        seconds = float(result.fields.get("durationInMs") or 0) / 1000
        rows += (
            f'<tr><td style="color:{color}"><b>{mark}</b> {result.fields["outcome"]}</td>'
            f"<td><b>{escape(result.name)}</b></td><td>{seconds:.1f} s</td>"
            f"<td>{escape(result.fields.get('errorMessage') or '')}</td>"
            f"<td><small>{', '.join(sorted(result.attachments))}</small></td></tr>"
        )
    return (
        f"<!doctype html><meta charset='utf-8'><style>{STYLE}</style>"
        f"<section><h1><b>✗</b> PublishToAzureServiceBus "
        f"<small>{record.result}, {record.percent} %</small></h1>{errors}</section>"
        f"<section><h1>Log</h1><pre>{log}</pre></section>"
        f"<section><h1>Tests <small>{escape(tests.name)}</small></h1>"
        f"<table>{rows}</table></section>"
        "<p>Drawn from what mlgate sent to its emulator of Azure DevOps; not a screenshot of "
        "Azure DevOps.</p>"
    )


def photograph(page: Page, html: str, name: str, until: str | None = None) -> None:
    """Of the whole page, or from its top to the end of the element that `until` selects."""
    page.set_content(html)
    clip = None
    if until is not None and (box := page.locator(until).bounding_box()) is not None:
        clip = {"x": 0, "y": 0, "width": 1000, "height": box["y"] + box["height"] + 24}
    IMAGES.mkdir(exist_ok=True)
    page.screenshot(path=IMAGES / name, full_page=True, clip=clip)  # type: ignore[arg-type]  # a mapping, whose keys are fixed
    sys.stdout.write(f"{IMAGES / name}: {(IMAGES / name).stat().st_size} bytes\n")


def picture_of_a_report(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    message = json.loads((ROOT / "examples/iris/message.json").read_text("utf-8"))
    with repository() as root, ended(root, message) as (_, files):
        # People's repositories have addresses; this one is a folder of the moment.
        report = (files / "report.html").read_text("utf-8").replace(str(root), ADDRESS)
    photograph(page, report, "report.png", "h2:has-text('Gate metrics') + table")


def picture_of_a_step(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 960, "height": 600})
    with repository() as root, ended(root, STEP) as (task, _):
        drawn = step(task).replace(str(root), ADDRESS)
    photograph(page, drawn, "step.png")


def main(pictures: Sequence[Callable[[Browser], None]]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for picture in pictures:
            picture(browser)
        browser.close()


if __name__ == "__main__":
    main([picture_of_a_report, picture_of_a_step])
