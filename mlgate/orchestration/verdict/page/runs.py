"""One run of `report.html`, folded: failure, plots, metrics, cells, files, executed notebook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mlgate.orchestration.builds import RunState
from mlgate.orchestration.runs import Failure, RunStatus
from mlgate.orchestration.text import duration, head, number, one_line, plain, tail
from mlgate.orchestration.verdict import notebook_view
from mlgate.orchestration.verdict.evidence import LOG, NOTEBOOK, PAGE, left, path_of
from mlgate.orchestration.verdict.facts import attempts_made, run_seconds
from mlgate.orchestration.verdict.notebook_view import CellRecord, Images
from mlgate.orchestration.verdict.page.markup import Child, Markup, fragment, tag
from mlgate.orchestration.verdict.page.parts import file_link, icon, web_link

# Beyond these a page stops being one to read; the files beside it hold everything.
_CELLS, _FILES, _METRICS, _WARNINGS = 200, 100, 60, 20
_SOURCE, _TRACEBACK = 4_000, 16_000
_LEFT_OUT = tag(
    "p", "The rest is left out to keep this page small: see the files of the run.", class_="muted"
)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with what its files show; `reason` says why it has no result of its own."""

    anchor: str
    run: RunState
    reason: str | None
    cells: tuple[CellRecord, ...]
    plots: Images
    unseen: bool  # its notebook is there, and was not read
    files: Sequence[str]
    gated: frozenset[str]  # the names of its metrics that the gate looks at

    @property
    def metrics(self) -> list[tuple[str, float]]:
        """Those that the gate looks at first, then by name."""
        return sorted(self.run.metrics.items(), key=lambda item: (item[0] not in self.gated, item))

    @property
    def failing_cell(self) -> CellRecord | None:
        named = self.run.failure.cell if self.run.failure is not None else None
        return next((cell for cell in self.cells if cell.number == named), None)

    @property
    def executed(self) -> str | None:
        """The path of the executed notebook as a page, if there is one."""
        return left(self.run, PAGE)

    @property
    def log(self) -> str | None:
        return left(self.run, LOG)


def run_details(view: RunView, *, unfolded: bool, brief: bool = False) -> Markup:
    """`brief`: only the failure, and where the rest is."""
    run = view.run
    summary = tag(
        "summary",
        tag("span", icon(run.status), class_=f"status {run.status}"),
        tag("h3", run.spec.name, tag("span", f" {run.status}", class_="hidden")),
        tag("span", short_result(view), class_="short"),
        tag("span", duration(run_seconds(run)), class_="number"),
    )
    sections = (
        (_links(view), _message(view), _LEFT_OUT)
        if brief
        else (
            _links(view),
            _failure(view),
            _warnings(run),
            _metrics(view),
            _plots(view),
            _cells(view),
            _files(view),
        )
    )
    body = tag(
        "div",
        sections if any(sections) else tag("p", "This run left nothing to show.", class_="muted"),
        class_="body",
        id=view.anchor,
    )
    return tag("details", summary, body, class_="run", open=unfolded)


def short_result(view: RunView, metrics: int = 3) -> Markup:
    """The failure in one line, or the first metrics, or why there is neither."""
    failure = view.run.failure
    if failure is not None and view.run.status is not RunStatus.SUCCEEDED:
        kind = tag("span", _kind(failure), class_="kind")
        return fragment(kind, " ", one_line(failure.message, 160))
    if view.reason is not None:
        return tag("span", one_line(view.reason, 160), class_="muted")
    found = view.metrics
    told: list[Child] = [
        tag("span", tag("span", one_line(key, 40)), " ", number(value), class_="metric")
        for key, value in found[:metrics]
    ]
    if len(found) > metrics:
        told.append(tag("span", f"and {len(found) - metrics} more", class_="muted"))
    return fragment(*told)


def _links(view: RunView) -> Markup | None:
    """Where to look next, and how often it was tried."""
    made = attempts_made(view.run)
    links = [
        file_link(view.executed, "Executed notebook", new_tab=True) if view.executed else None,
        web_link(view.run.studio_url, "Azure ML studio"),
        file_link(view.log, "Log", new_tab=True) if view.log else None,
        tag("span", f"{made} attempts", class_="muted") if made > 1 else None,
    ]
    return tag("p", links, class_="links") if any(links) else None


def _message(view: RunView) -> Markup | None:
    failure = view.run.failure
    if failure is None:
        return tag("p", head(view.reason, 2_000), class_="muted") if view.reason else None
    return tag(
        "div",
        tag("p", _kind(failure), class_=f"status {view.run.status}"),
        tag("p", head(plain(failure.message), 2_000)),
        class_=f"failure {view.run.status}",
    )


def _failure(view: RunView) -> Markup | None:
    failure, cell = view.run.failure, view.failing_cell
    if failure is None:
        return _message(view)
    traceback = failure.traceback or (cell.error if cell else None) or ""
    return fragment(
        _message(view),
        _code(f"Cell {cell.number}", head(cell.source.strip("\n"), _SOURCE)) if cell else None,
        _code("Traceback", tail(plain(traceback), _TRACEBACK)),
    )


def _kind(failure: Failure) -> str:
    kind = _words(failure.kind)
    return f"{kind}, cell {failure.cell}" if failure.cell is not None else kind


def _code(title: str, text: str) -> Markup | None:
    """Long lines scroll inside the block, also by keyboard."""
    if not text.strip():
        return None
    block = tag("pre", tag("code", text), tabindex="0", role="region", aria_label=title)
    return fragment(tag("h4", title), block)


def _warnings(run: RunState) -> Markup | None:
    if not run.warnings:
        return None
    items = [tag("li", one_line(warning, 1_000)) for warning in run.warnings[:_WARNINGS]]
    return fragment(
        tag("h4", "Warnings"), tag("ul", items, more(run.warnings, _WARNINGS), class_="notes")
    )


def _plots(view: RunView) -> Markup | None:
    plots = view.plots
    if not plots.shown and not plots.left_out:
        return None
    figures = []
    for position, image in enumerate(plots.shown, start=1):
        cell = f"cell {image.cell}" if image.cell is not None else "an injected cell"
        alternative = f"Plot {position} of {view.run.spec.name}, from {cell}"
        picture = tag("div", tag("img", src=image.data_uri, alt=alternative))
        figures.append(tag("figure", picture, tag("figcaption", cell.capitalize())))
    note = f"{plots.left_out} more in the executed notebook." if plots.left_out else None
    return fragment(
        tag("h4", "Plots"),
        tag("div", figures, class_="plots") if figures else None,
        note and tag("p", note, class_="muted"),
    )


def _metrics(view: RunView) -> Markup | None:
    found = view.metrics
    if not found:
        return None
    pairs = [
        tag("div", tag("dt", one_line(key, 80)), tag("dd", number(value)))
        for key, value in found[:_METRICS]
    ]
    return fragment(
        tag("h4", "Metrics"),
        tag("dl", pairs, class_="metrics"),
        more(found, _METRICS, "p"),
    )


def _cells(view: RunView) -> Markup | None:
    if view.unseen:
        path = path_of(view.run, NOTEBOOK)
        where = ("Too large to show here, or not readable: ", file_link(path, NOTEBOOK), ".")
        return fragment(tag("h4", "Cells"), tag("p", where, class_="muted"))
    if not view.cells:
        return None
    tally = Counter(cell.status for cell in view.cells)
    words = ", ".join(f"{count} {_words(status)}" for status, count in tally.items())
    boxes = [_cell(cell) for cell in view.cells[:_CELLS]]
    return fragment(
        tag("h4", f"Cells: {words}"),
        tag("ol", boxes, more(view.cells, _CELLS), class_="cells"),
    )


def _cell(cell: CellRecord) -> Markup:
    told = [f"cell {cell.number} {_words(cell.status)}"]
    if cell.seconds is not None and cell.status != notebook_view.NOT_RUN:
        told.append(duration(cell.seconds))
    if cell.title:
        told.append(one_line(cell.title, 80))
    return tag("li", cell.number, class_=cell.status.replace("_", "-"), title=": ".join(told))


def _words(status: str) -> str:
    return status.replace("_", " ")


def _files(view: RunView) -> Markup | None:
    """What is not linked above already."""
    files = [path for path in view.files if path not in (view.executed, view.log)]
    if not files:
        return None
    folder = f"runs/{view.run.spec.name}/"
    items = [tag("li", file_link(path, path.removeprefix(folder))) for path in files[:_FILES]]
    return fragment(tag("h4", "Files"), tag("ul", items, more(files, _FILES), class_="files"))


def more(items: Sequence[object], most: int, name: str = "li") -> Markup | None:
    return tag(name, f"and {len(items) - most} more", class_="muted") if len(items) > most else None
