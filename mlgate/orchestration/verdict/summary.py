"""A build as a markdown summary for the pipeline's page. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlgate.orchestration.builds import Build, MetricCheck, RunState
from mlgate.orchestration.checks import Check
from mlgate.orchestration.text import duration, exact, number, one_line, plain, tail
from mlgate.orchestration.verdict.facts import (
    attempts_made,
    bound,
    counts,
    ended_badly,
    run_seconds,
    web_url,
    why_not_succeeded,
)
from mlgate.orchestration.verdict.models import compared_values, story

# The pipeline's page shows a summary in a pane, which holds about a megabyte.
_FAILURES, _WARNINGS, _CHECKS = 20, 20, 200
_TRACEBACK = 6_000  # characters


def summary_markdown(build: Build) -> str:
    """The verdict, why, every run, and the failures at length, as CommonMark with tables.

    Untrusted text is escaped and never begins a line; each traceback has a fence of its own.
    """
    verdict = (build.verdict or "not decided").capitalize()
    lines = [f"# {verdict}: build {_escape(build.build_id)}", ""]
    if build.reason:
        lines += [f"**Why:** {_escape(build.reason, 2000)}", ""]
    for warning in build.warnings[:_WARNINGS]:
        lines += [f"**Warning:** {_escape(warning, 500)}", ""]
    lines += _more(len(build.warnings) - _WARNINGS, "warnings.")
    if build.runs:
        told = (f"{count} {status}" for status, count in counts(build).items())
        lines += [f"{len(build.runs)} runs: {', '.join(told)}.", ""]
        lines += _table("Run", "Kind", "Status", "Duration", "Attempts", "Metrics", "Studio")
        lines += [_run_row(run) for run in build.runs] + [""]
    if build.checks:
        lines += _table("Check", "Status", "What it says", "Remedy")
        lines += [_made_row(check) for check in build.checks] + [""]
    lines += _model_section(build)
    if build.metric_checks:
        lines += ["## Gate metrics", ""]
        lines += _table("Run", "Metric", "Bound", "Value", "Result")
        lines += [_check_row(check) for check in build.metric_checks[:_CHECKS]] + [""]
        lines += _more(len(build.metric_checks) - _CHECKS, "gate metrics, in `result.json`.")
    failed = [run for run in build.runs if ended_badly(run)]
    for run in failed[:_FAILURES]:
        lines += _failure_section(build, run)
    lines += _more(len(failed) - _FAILURES, "failures, in `report.html`.")
    return "\n".join(lines).rstrip() + "\n"


def _more(count: int, what: str) -> list[str]:
    return [f"And {count} more {what}", ""] if count > 0 else []


def _escape(text: str, limit: int = 300) -> str:
    """Inline text that stays text: no markup, table cell, HTML, math, mention or link."""
    line = one_line(text, limit)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        line = line.replace(character, entity)
    return re.sub(r"([\\`*_\[\]#|~@!${}^]|(?<=:)/(?=/)|(?<=[wW]{3})\.)", r"\\\1", line)


def _table(*headers: str) -> list[str]:
    return [_row(*headers), _row(*("---" for _ in headers))]


def _row(*fields: str) -> str:
    return "| " + " | ".join(fields) + " |"


def _run_row(run: RunState) -> str:
    return _row(
        _escape(run.spec.name),
        run.spec.kind,
        run.status,
        duration(run_seconds(run)),
        str(attempts_made(run)),
        _metrics(run.metrics),
        f"[studio]({_url(run.studio_url)})" if web_url(run.studio_url) else "",
    )


def _metrics(metrics: Mapping[str, float], most: int = 5) -> str:
    first = sorted(metrics.items())[:most]
    told = [f"{_escape(key, 60)} {number(value)}" for key, value in first]
    more = [f"and {len(metrics) - most} more"] if len(metrics) > most else []
    return ", ".join(told + more)


def _url(url: str | None) -> str:
    """A URL that cannot leave the parentheses of a link, nor its table cell."""
    return re.sub(r"[^A-Za-z0-9_:/?#@!$&'*+,;=%.~-]", _percent, url or "")


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode("utf-8", "replace"))


def _made_row(check: Check) -> str:
    status = check.status.replace("_", " ")
    return _row(
        _escape(check.name),
        f"**{status}**" if check.wrong else status,
        _escape(check.says, 500),
        _escape(check.remedy, 500),
    )


def _model_section(build: Build) -> list[str]:
    told = story(build)
    if told is None:
        return []
    lines = [f"## Model {_escape(told.name)}: {told.outcome}", ""]
    if told.now != "-":
        lines += [f"Was `{told.was}`, is `{told.now}`.", ""]
    lines += [_escape(told.why, 1000), ""]
    if told.back:
        lines += [f"To roll back: `{told.back}`", ""]
    if told.comparison:
        lines += _table("Run", "Metric", "Candidate", "Current version", "Candidate is")
        for each in told.comparison:
            lines.append(_row(_escape(each.run), _escape(each.metric), *compared_values(each)))
        lines.append("")
    return lines


def _check_row(check: MetricCheck) -> str:
    return _row(
        _escape(check.metric.run),
        _escape(check.metric.metric),
        bound(check.metric),
        "missing" if check.value is None else exact(check.value),
        "passed" if check.passed else f"**failed** {_escape(check.reason)}",
    )


def _failure_section(build: Build, run: RunState) -> list[str]:
    lines = [f"## {_escape(run.spec.name)} {run.status}", ""]
    told = _escape(why_not_succeeded(build, run), 1000)
    if run.failure is None:
        return [*lines, f"Cause: {told}", ""]
    where = f", cell {run.failure.cell}" if run.failure.cell is not None else ""
    lines += [f"{run.failure.kind}{where}: {told}", ""]
    if run.failure.traceback:
        lines += [*_fenced(tail(plain(run.failure.traceback), _TRACEBACK)), ""]
    return lines


def _fenced(text: str) -> list[str]:
    """The text in a fence that no run of backticks in it can close."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text.strip("\n"), fence]
