"""Shows a build at the terminal: live while it runs, and a summary at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TextIO

from mlgate.hosts.terminal import line_of, say
from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import plain
from mlgate.orchestration.verdict.gates import describe_failure

if TYPE_CHECKING:
    from rich.console import RenderableType

_MARKS = {
    RunStatus.QUEUED: ("·", "dim"),
    RunStatus.RUNNING: ("▶", "cyan"),
    RunStatus.SUCCEEDED: ("✓", "green"),
    RunStatus.FAILED: ("✗", "bold red"),
    RunStatus.CANCELED: ("■", "yellow"),
    RunStatus.SKIPPED: ("-", "dim"),
}
_MOST_ROWS = 30
_TAIL_LINES = 25
_TAGS = ("##[section]", "##[error]", "##[warning]", "##[debug]", "##[command]")


class View(Protocol):
    """Shows a build while it runs."""

    def update(self, build: Build | None) -> None: ...

    def line(self, text: str) -> None:
        """Show a new line of the build's live log."""
        ...


class Silent:
    def update(self, build: Build | None) -> None:
        pass

    def line(self, text: str) -> None:
        pass


class Lines:
    """The live log as plain lines, for files, pipes and simple terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def update(self, build: Build | None) -> None:
        pass

    def line(self, text: str) -> None:
        say(without_tag(text), file=self._stream)


class Table:
    """One row per run, redrawn in place."""

    def __init__(self, show: RichLive) -> None:
        self._show = show

    def update(self, build: Build | None) -> None:
        self._show.update(_table(build) if build is not None else "waiting for the worker")

    def line(self, text: str) -> None:
        if text.startswith("##[warning]"):
            self._show.add(f"[yellow]{_escaped(without_tag(text))}[/yellow]")


class RichLive(Protocol):
    def update(self, content: RenderableType) -> None: ...

    def add(self, markup: str) -> None: ...


@contextmanager
def view(stream: TextIO, *, quiet: bool) -> Iterator[View]:
    """The view that suits `stream`; plain lines if rich is not installed."""
    if quiet:
        yield Silent()
    elif not stream.isatty() or find_spec("rich") is None:
        yield Lines(stream)
    else:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=stream)
        with Live(console=console, refresh_per_second=8, transient=True) as live:

            class Show:
                def update(self, content: RenderableType) -> None:
                    live.update(content)

                def add(self, markup: str) -> None:
                    console.print(markup)

            yield Table(Show())


def summary(build: Build, report: str, log_of: dict[str, str], stream: TextIO) -> None:
    """Print each run in a line, the end of each failed run's log, then the verdict."""
    width = max((len(run.spec.name) for run in build.runs), default=0)
    for run in build.runs:
        mark, _ = _MARKS[run.status]
        metrics = "  ".join(f"{key}={value:g}" for key, value in sorted(run.metrics.items()))
        line = f"  {mark} {run.spec.name:<{width}}  {run.status:<9}  {_duration(run):>8}  {metrics}"
        say(line.rstrip(), file=stream)
    for run in build.runs:
        if run.status is RunStatus.FAILED:
            _failure(run, log_of.get(run.spec.name, ""), stream)
    for warning in build.warnings:
        say(f"warning: {warning}", file=stream)
    mark = "✓" if build.verdict is Verdict.SUCCEEDED else "✗"
    say(file=stream)
    say(f"{mark} {build.verdict}: {build.reason}", file=stream)
    say(f"  {report}", file=stream)


def without_tag(line: str) -> str:
    """A log line without the pipeline's markup."""
    for tag in _TAGS:
        if line.startswith(tag):
            word = tag[3:-1]
            text = line[len(tag) :]
            return text if word == "section" else f"{word}: {text}"
    return line


def _failure(run: RunState, log: str, stream: TextIO) -> None:
    say(file=stream)
    first, *others = plain(describe_failure(run)).splitlines() or [""]
    say(first, file=stream)
    for line in others:
        say(f"    {line}", file=stream)
    if run.studio_url:
        say(f"  {run.studio_url}", file=stream)
    for warning in run.warnings:
        say(f"  warning: {warning}", file=stream)
    for line in plain(log).splitlines()[-_TAIL_LINES:]:
        say(f"  | {line}", file=stream)


def _table(build: Build) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=None, pad_edge=False)
    for column in ("", "run", "", "now", "time"):
        table.add_column(column, no_wrap=True)
    shown = _worth_showing(build)
    for run in shown:
        mark, style = _MARKS[run.status]
        total = run.cells_total or 0
        done = total if run.status is RunStatus.SUCCEEDED else len(run.cells)
        bar = ProgressBar(total=total, completed=done, width=20) if total else ""
        table.add_row(
            f"[{style}]{mark}[/{style}]", _escaped(run.spec.name), bar, _now(run), _duration(run)
        )
    if len(shown) < len(build.runs):
        table.caption = f"and {len(build.runs) - len(shown)} more"
        table.caption_justify = "left"
    # Not the table's own title, which wraps at the width of the table.
    title = line_of(f"{build.subject} · {build.percent} %")
    return Group(Text(title, style="italic"), table)


def _worth_showing(build: Build) -> list[RunState]:
    """All runs if they fit, else the most interesting: active and failed ones first."""
    if len(build.runs) <= _MOST_ROWS:
        return list(build.runs)
    order = [RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.QUEUED]
    ranked = sorted(
        build.runs,
        key=lambda run: order.index(run.status) if run.status in order else len(order),
    )
    return ranked[:_MOST_ROWS]


def _now(run: RunState) -> str:
    if run.failure is not None:
        cell = f" in cell {run.failure.cell}" if run.failure.cell else ""
        return _escaped(f"{run.failure.kind}{cell}")
    if run.status is RunStatus.RUNNING and run.cells_total:
        return f"cell {min(len(run.cells) + 1, run.cells_total)}/{run.cells_total}"
    return _escaped(run.activity or str(run.status))


def _duration(run: RunState) -> str:
    if run.started_at is None:
        return ""
    until = run.finished_at or datetime.now(UTC)
    seconds = max(0.0, (until - run.started_at).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(line_of(text))
