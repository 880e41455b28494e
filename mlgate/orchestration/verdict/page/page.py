"""`report.html`: one self-contained page with a build's verdict and its reasons.

It loads nothing and runs nothing: a policy in its head forbids both, so whatever a repository
prints stays text. Failures come first; the table keeps the order of the message.

Each notebook is read once and released: what the page shows of its run is kept as bytes until it is
written. Their size is bounded; of runs beyond it the page shows the failure and where the rest is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlgate.orchestration.builds import Build
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.text import duration, exact, head, one_line, plain, utc
from mlgate.orchestration.verdict import notebook_view
from mlgate.orchestration.verdict.evidence import Read, listing
from mlgate.orchestration.verdict.facts import (
    attempts_made,
    bound,
    condition_sentence,
    counts,
    ended_badly,
    run_seconds,
    seconds_between,
    why_not_succeeded,
)
from mlgate.orchestration.verdict.notebook_view import Notebook
from mlgate.orchestration.verdict.page.checks import checks_table
from mlgate.orchestration.verdict.page.frame import document_head
from mlgate.orchestration.verdict.page.markup import Child, Markup, fragment, tag
from mlgate.orchestration.verdict.page.model import model_section
from mlgate.orchestration.verdict.page.parts import (
    TONES,
    favicon,
    file_link,
    icon,
    icon_shapes,
    proportions,
    status_label,
    web_link,
)
from mlgate.orchestration.verdict.page.runs import RunView, more, run_details, short_result
from mlgate.orchestration.verdict.page.style import STYLE

# Characters of base64; what does not fit stays in the executed notebooks.
_IMAGES_OF_ALL_RUNS = 12_000_000
_IMAGES_OF_A_RUN = 4_000_000
_DETAILS_OF_ALL_RUNS = 24_000_000  # bytes, images included
_CHECKS = 1000
_WARNINGS = 20
_UNFOLDED = 3  # up to so many failures, or else runs, are open at first; a longer list is folded


@dataclass(frozen=True, slots=True)
class _Shown:
    """A run on the page: its row of the table, and its details."""

    row: Markup
    details: bytes
    brief: bool  # some of its details are left out
    images: int  # characters of base64


def page_html(build: Build, read: Read) -> Iterator[bytes]:
    """The page as UTF-8, for the build's folder: it links the files there."""
    bad = [index for index, run in enumerate(build.runs) if ended_badly(run)]
    others = [index for index, run in enumerate(build.runs) if not ended_badly(run)]
    unfolded = {
        **dict.fromkeys(bad, len(bad) <= _UNFOLDED),
        **dict.fromkeys(others, len(build.runs) <= _UNFOLDED),
    }
    shown: dict[int, _Shown] = {}
    images, room = _IMAGES_OF_ALL_RUNS, _DETAILS_OF_ALL_RUNS
    for index in (*bad, *others):  # failures get room first
        run = _show(build, index, read, unfolded=unfolded[index], images=images, room=room)
        shown[index] = run
        images -= run.images
        room -= len(run.details)
    failed = any(run.status is RunStatus.FAILED for run in build.runs)

    yield b'<!doctype html>\n<html lang="en">'
    yield fragment(_head(build), Markup("<body>"), icon_shapes(), _header(build)).encode()
    yield b"<main>"
    yield fragment(checks_table(build.checks), model_section(build), _gate(build)).encode()
    yield from _details("What failed" if failed else "What was canceled", bad, shown)
    yield fragment(_runs([shown[index].row for index in sorted(shown)])).encode()
    yield from _details("Details", others, shown)
    yield b"</main>"
    yield fragment(_footer(), Markup("</body></html>\n")).encode()


def _show(
    build: Build, index: int, read: Read, *, unfolded: bool, images: int, room: int
) -> _Shown:
    """What the page shows of a run, without holding on to its notebook."""
    run = build.runs[index]
    notebook = Notebook.of(run, read)
    view = RunView(
        anchor=_anchor(index),
        run=run,
        reason=None if run.status is RunStatus.SUCCEEDED else why_not_succeeded(build, run),
        cells=notebook.cells(),
        plots=notebook.images(size=min(images, _IMAGES_OF_A_RUN)),
        unseen=notebook.unseen,
        files=listing(run),
        gated=frozenset(
            metric.metric for metric in build.gate.metrics if metric.run == run.spec.name
        ),
    )
    details = run_details(view, unfolded=unfolded).encode()
    brief = len(details) > room
    if brief:
        details = run_details(view, unfolded=unfolded, brief=True).encode()
    return _Shown(_run_row(view), details, brief, 0 if brief else view.plots.size)


def _anchor(index: int) -> str:
    return f"run-{index + 1}"


def _verdict(build: Build) -> str:
    return build.verdict or "undecided"


def _head(build: Build) -> Markup:
    verdict = _verdict(build)
    title = f"{verdict.capitalize()}: build {one_line(build.build_id)}"
    return document_head(title, favicon(verdict, TONES.get(verdict, "#8b949e")), STYLE)


def _header(build: Build) -> Markup:
    verdict = _verdict(build)
    card = tag(
        "div",
        tag("p", f"Build {one_line(build.build_id)}", class_="eyebrow"),
        tag("h1", icon(verdict), verdict.capitalize()),
        tag("p", head(plain(build.reason), 2_000), class_="reason"),
        _proportions(build) if build.runs else _without_runs(build),
        _warnings(build.warnings),
        _facts(build),
    )
    return tag("header", card, class_=f"verdict {verdict}")


def _without_runs(build: Build) -> Markup:
    said = "Nothing was run: these are checks." if build.is_check else "No run was started."
    return tag("p", said, class_="muted")


def _proportions(build: Build) -> Markup:
    condition = tag("li", condition_sentence(build.gate), class_="muted")
    return proportions(counts(build).items(), condition)


def _warnings(warnings: Sequence[str]) -> Markup | None:
    items = [tag("li", one_line(warning, 1_000)) for warning in warnings[:_WARNINGS]]
    return tag("ul", items, more(warnings, _WARNINGS), class_="notes") if items else None


def _facts(build: Build) -> Markup:
    repository = build.repository
    url = one_line(build.subject.removeprefix("https://"))
    folder = "." if repository is None else repository.subdirectory
    started = utc(build.received_at) or ""
    facts: Mapping[str, Child] = {
        "Model" if repository is None else "Repository": web_link(build.subject, url) or url,
        "Commit": tag("code", build.commit[:12], title=build.commit) if build.commit else None,
        "Folder": folder if folder != "." else None,
        "Backend": "Azure ML" if build.backend == "azureml" else build.backend,
        "Started": tag("time", f"{started[:10]} {started[11:16]} UTC", datetime=started),
        "Took": duration(seconds_between(build.received_at, build.finished_at)),
    }
    pairs = (
        tag("div", tag("dt", name), tag("dd", value))
        for name, value in facts.items()
        if value is not None
    )
    return tag("dl", pairs, class_="facts")


def _gate(build: Build) -> Markup | None:
    checks = sorted(build.metric_checks, key=lambda check: check.passed)
    if not checks:
        return None
    held = all(check.passed for check in checks)
    anchors = {run.spec.name: _anchor(index) for index, run in enumerate(build.runs)}
    rows = []
    for check in checks[:_CHECKS]:
        name = check.metric.run
        run = tag("a", name, href=f"#{anchors[name]}") if name in anchors else name
        value = "missing" if check.value is None else exact(check.value)
        passed = status_label("succeeded", "passed")
        cells = (
            tag("th", one_line(check.metric.metric), scope="row"),
            tag("td", run, class_="of"),
            tag("td", value, class_="number", data_label="value"),
            tag("td", bound(check.metric), class_="number", data_label="must be"),
            tag("td", passed if check.passed else status_label("failed")),
            None if held else tag("td", one_line(check.reason, 300), class_="result"),
        )
        rows.append(tag("tr", cells))
    headers = ("Metric", "Run", "Value", "Must be", "Result") + (() if held else ("Why",))
    rest = more(checks, _CHECKS, "p")
    return fragment(tag("h2", "Gate metrics"), _table(headers, rows), rest)


def _runs(rows: Sequence[Markup]) -> Markup | None:
    if not rows:
        return None
    headers = ("Run", "Status", "Duration", "Attempts", "Cells", "Result")
    return fragment(
        tag("h2", "All runs", tag("small", len(rows))),
        _table(headers, rows),
    )


def _run_row(view: RunView) -> Markup:
    run = view.run
    kind: list[Child] = [run.spec.kind]
    if view.executed is not None:
        kind += [" · ", file_link(view.executed, "executed", new_tab=True)]
    name = tag("a", run.spec.name, href=f"#{view.anchor}")
    return tag(
        "tr",
        tag("th", name, tag("div", kind, class_="muted"), scope="row"),
        tag("td", status_label(run.status)),
        tag("td", duration(run_seconds(run)), class_="number", data_label="took"),
        tag("td", attempts_made(run), class_="number", data_label="attempts"),
        tag("td", _cells_done(view), class_="number", data_label="cells"),
        tag("td", short_result(view), class_="result"),
    )


def _cells_done(view: RunView) -> str | None:
    """Executed of all, as the file has it, or else as reported live."""
    run = view.run
    if run.spec.kind is not RunKind.NOTEBOOK:
        return None
    if view.cells:
        done = sum(cell.status != notebook_view.NOT_RUN for cell in view.cells)
        return f"{done}/{len(view.cells)}"
    return f"{len(run.cells)}/{run.cells_total}" if run.cells_total is not None else None


def _table(headers: Iterable[str], rows: Sequence[Markup]) -> Markup:
    numeric = ("Value", "Must be", "Duration", "Attempts", "Cells")
    columns = (
        tag("th", name, scope="col", class_="number" if name in numeric else None)
        for name in headers
    )
    return tag("table", tag("thead", tag("tr", columns)), tag("tbody", rows))


def _details(title: str, of: Sequence[int], shown: Mapping[int, _Shown]) -> Iterator[bytes]:
    if not of:
        return
    yield b"<section>"
    yield tag("h2", title, tag("small", len(of))).encode()
    brief = sum(shown[index].brief for index in of)
    if brief:
        note = f"To keep this page small, {brief} of them are shown only in part."
        yield tag("p", note, class_="muted").encode()
    for index in of:
        yield shown[index].details
    yield b"</section>"


def _footer() -> Markup:
    files = (tag("a", name, href=name) for name in ("result.json", "junit.xml"))
    return tag("footer", "mlgate", ((" · ", file) for file in files))
