"""`report.html`: one self-contained page that says what came of a build, and why.

It loads nothing and runs nothing: a policy in its head forbids both, so that whatever a
repository prints stays text. Failures come first; the table keeps the order of the message.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from mlgate.orchestration import notebook_view
from mlgate.orchestration.builds import Build, MetricCheck
from mlgate.orchestration.markup import Child, Markup, fragment, tag
from mlgate.orchestration.page_parts import (
    favicon,
    file_link,
    icon,
    icon_shapes,
    status_label,
    web_link,
)
from mlgate.orchestration.page_runs import RunView, run_details, short_result
from mlgate.orchestration.page_style import STYLE
from mlgate.orchestration.report import (
    attempts_made,
    bound,
    condition_sentence,
    counts,
    ended_badly,
    run_seconds,
    seconds_between,
    why_not_succeeded,
)
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.wording import duration, head, one_line, plain, utc

# Characters of base64; what does not fit stays in the executed notebooks.
_IMAGES_OF_ALL_RUNS = 12_000_000
_IMAGES_OF_A_RUN = 4_000_000
_UNFOLDED = 3  # so many failures are open at first, or all runs; more are a list to choose from
_TONES = {"succeeded": "#3aa873", "failed": "#d9434f", "canceled": "#d39b2a"}


def page_html(
    build: Build, notebooks: Mapping[str, bytes], files: Mapping[str, Sequence[str]]
) -> bytes:
    """The page as UTF-8.

    `notebooks` maps names of runs to their `executed.ipynb`; `files` to the paths of everything
    kept of them, relative to the build's folder, which is where the page is to lie.
    """
    views = _views(build, notebooks, files)
    bad = [view for view in views if ended_badly(view.run)]
    others = [view for view in views if not ended_badly(view.run)]
    failed = any(view.run.status is RunStatus.FAILED for view in views)
    main = tag(
        "main",
        _gate(build.metric_checks, views),
        _details(
            "What failed" if failed else "What was canceled",
            bad,
            unfolded=len(bad) <= _UNFOLDED,
        ),
        _runs(views),
        _details("Details", others, unfolded=len(views) <= _UNFOLDED),
    )
    body = tag("body", icon_shapes(), _header(build), main, _footer())
    document = tag("html", _head(build), body, lang="en")
    return f"<!doctype html>\n{document}\n".encode()


def _views(
    build: Build, notebooks: Mapping[str, bytes], files: Mapping[str, Sequence[str]]
) -> list[RunView]:
    """In the order of the message; failures take their images from the common budget first."""
    budget = _IMAGES_OF_ALL_RUNS
    views: dict[int, RunView] = {}
    for position in sorted(
        range(len(build.runs)), key=lambda index: not ended_badly(build.runs[index])
    ):
        run = build.runs[position]
        ipynb = notebooks.get(run.spec.name, b"")
        plots = notebook_view.images(ipynb, size=min(budget, _IMAGES_OF_A_RUN))
        budget -= plots.size
        views[position] = RunView(
            anchor=f"run-{position + 1}",
            run=run,
            reason=None if run.status is RunStatus.SUCCEEDED else why_not_succeeded(build, run),
            cells=notebook_view.cells(ipynb),
            plots=plots,
            files=files.get(run.spec.name, run.outputs),
            gated=frozenset(
                metric.metric for metric in build.gate.metrics if metric.run == run.spec.name
            ),
        )
    return [views[position] for position in sorted(views)]


def _verdict(build: Build) -> str:
    return build.verdict or "undecided"


def _head(build: Build) -> Markup:
    verdict = _verdict(build)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{verdict.capitalize()}: build {one_line(build.build_id)}"),
        tag("link", rel="icon", href=favicon(verdict, _TONES.get(verdict, "#8b949e"))),
        tag("style", Markup(STYLE)),
    )


def _header(build: Build) -> Markup:
    verdict = _verdict(build)
    card = tag(
        "div",
        tag("p", f"Build {one_line(build.build_id)}", class_="eyebrow"),
        tag("h1", icon(verdict), verdict.capitalize()),
        tag("p", head(plain(build.reason), 2_000), class_="reason"),
        _proportions(build) if build.runs else tag("p", "No run was started.", class_="muted"),
        _warnings(build.warnings),
        _facts(build),
    )
    return tag("header", card, class_=f"verdict {verdict}")


def _proportions(build: Build) -> Markup:
    found = counts(build)
    bars, left = [], 0
    for status, count in found.items():
        x, width = (f"{100 * value / len(build.runs):.3f}%" for value in (left, count))
        bars.append(tag("rect", x=x, width=width, height="100%", class_=status))
        left += count
    words = [
        tag("li", status_label(status, f"{count} {status}")) for status, count in found.items()
    ]
    words.append(tag("li", condition_sentence(build.gate), class_="muted"))
    return fragment(
        tag("svg", bars, class_="bar", aria_hidden="true"), tag("ul", words, class_="counts")
    )


def _warnings(warnings: Sequence[str]) -> Markup | None:
    items = [tag("li", one_line(warning, 1_000)) for warning in warnings[:20]]
    return tag("ul", items, class_="notes") if items else None


def _facts(build: Build) -> Markup:
    repository = build.repository
    url = one_line(repository.url.removeprefix("https://"))
    started = utc(build.received_at) or ""
    facts: Mapping[str, Child] = {
        "Repository": web_link(repository.url, url) or url,
        "Commit": tag("code", build.commit[:12], title=build.commit) if build.commit else None,
        "Folder": repository.subdirectory if repository.subdirectory != "." else None,
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


def _gate(checks: Sequence[MetricCheck], views: Sequence[RunView]) -> Markup | None:
    if not checks:
        return None
    held = all(check.passed for check in checks)
    anchors = {view.run.spec.name: view.anchor for view in views}
    rows = []
    for check in sorted(checks, key=lambda check: check.passed):
        name = check.metric.run
        run = tag("a", name, href=f"#{anchors[name]}") if name in anchors else name
        value = "missing" if check.value is None else repr(check.value)
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
    return fragment(tag("h2", "Gate metrics"), _table(headers, rows))


def _runs(views: Sequence[RunView]) -> Markup | None:
    if not views:
        return None
    headers = ("Run", "Status", "Duration", "Attempts", "Cells", "Result")
    return fragment(
        tag("h2", "All runs", tag("small", len(views))),
        _table(headers, [_run_row(view) for view in views]),
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
    """Executed of all; what the file tells counts, else what was reported live."""
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


def _details(title: str, views: Sequence[RunView], *, unfolded: bool) -> Markup | None:
    if not views:
        return None
    runs = [run_details(view, unfolded=unfolded) for view in views]
    return tag("section", tag("h2", title, tag("small", len(views))), runs)


def _footer() -> Markup:
    files = (tag("a", name, href=name) for name in ("result.json", "junit.xml"))
    return tag("footer", "mlgate", ((" · ", file) for file in files))
