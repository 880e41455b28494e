"""A build as `result.json` for programs and as a markdown summary for the pipeline's page."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mlgate.orchestration.builds import Build, Gate, GateMetric, MetricCheck, RunState, Verdict
from mlgate.orchestration.runs import Failure, RunStatus
from mlgate.orchestration.wording import duration, number, one_line, plain, tail, utc

# A summary is read in a pane of the pipeline's page, which takes about a megabyte.
_FAILURES = 20
_TRACEBACK = 6_000  # characters


def result(build: Build) -> dict[str, Any]:
    """The contract's `result.json`, version 1, as JSON values.

    A metric that is not finite is null: JSON has no NaN. `verdict` is null while undecided.
    """
    return {
        "version": 1,
        "build_id": build.build_id,
        "verdict": build.verdict,
        "reason": build.reason,
        "started_at": utc(build.received_at),
        "finished_at": utc(build.finished_at),
        "repository": {"url": build.repository.url, "commit": build.commit},
        "backend": build.backend,
        "runs": [_run(run) for run in build.runs],
        "gate": {
            "condition": _condition(build.gate),
            "passed": build.verdict is Verdict.SUCCEEDED,
            "metrics": [_check(check) for check in build.metric_checks],
        },
    }


def result_json(build: Build) -> bytes:
    """`result` as UTF-8, indented, the same bytes for the same build."""
    text = json.dumps(result(build), indent=2, ensure_ascii=False, allow_nan=False)
    # A half surrogate cannot be UTF-8, but its Python escape happens to be the one of JSON.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def attempts_made(run: RunState) -> int:
    """0 for a run that was never submitted."""
    return run.attempt if run.submitted else run.attempt - 1


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """None when unknown; never negative, whatever two clocks say."""
    if start is None or end is None:
        return None
    return max(0.0, round((end - start).total_seconds(), 3))


def run_seconds(run: RunState) -> float | None:
    return seconds_between(run.started_at, run.finished_at)


def bound(metric: GateMetric) -> str:
    """`≥ 0.9`, in full: a rounded bound beside a rounded value can look fulfilled."""
    parts = (("≥", metric.at_least), ("≤", metric.at_most))
    return " and ".join(f"{sign} {limit!r}" for sign, limit in parts if limit is not None)


def condition_sentence(gate: Gate) -> str:
    if gate.condition == "all_pass":
        return "Every run must succeed."
    if gate.condition == "any_pass":
        return "At least one run must succeed."
    return f"At least {gate.condition} runs must succeed."


def ended_badly(run: RunState) -> bool:
    return run.status in (RunStatus.FAILED, RunStatus.CANCELED)


def counts(build: Build) -> dict[RunStatus, int]:
    """How many runs there are of each status that occurs, in the order of the vocabulary."""
    found = Counter(run.status for run in build.runs)
    return {status: found[status] for status in RunStatus if found[status]}


def why_not_succeeded(build: Build, run: RunState) -> str:
    """Why a run did not succeed, in a few words, also when no failure says it."""
    if run.failure is not None:
        return run.failure.message
    if run.status is RunStatus.SKIPPED:
        passed = {other.spec.name for other in build.runs if other.status is RunStatus.SUCCEEDED}
        missing = ", ".join(name for name in run.spec.needs if name not in passed)
        return f"needs {missing}, which did not succeed" if missing else "was not needed"
    if run.status is RunStatus.FAILED:
        return "no cause was recorded"
    if run.started_at is None:
        return "canceled before it started" if run.status.ended else "did not start"
    return "canceled while it ran" if run.status.ended else "did not end"


def summary_markdown(build: Build) -> str:
    """The verdict, why, every run, and the failures at length, as CommonMark with tables.

    Text of others is escaped and never begins a line; tracebacks stand in fences of their own.
    """
    verdict = (build.verdict or "not decided").capitalize()
    lines = [f"# {verdict}: build {_escape(build.build_id)}", ""]
    if build.reason:
        lines += [f"**Why:** {_escape(build.reason, 2000)}", ""]
    for warning in build.warnings:
        lines += [f"**Warning:** {_escape(warning, 500)}", ""]
    if build.runs:
        told = (f"{count} {status}" for status, count in counts(build).items())
        lines += [f"{len(build.runs)} runs: {', '.join(told)}.", ""]
        lines += _table("Run", "Kind", "Status", "Duration", "Attempts", "Metrics", "Studio")
        lines += [_run_row(run) for run in build.runs] + [""]
    if build.metric_checks:
        lines += ["## Gate metrics", ""]
        lines += _table("Run", "Metric", "Bound", "Value", "Result")
        lines += [_check_row(check) for check in build.metric_checks] + [""]
    failed = [run for run in build.runs if ended_badly(run)]
    for run in failed[:_FAILURES]:
        lines += _failure_section(build, run)
    if len(failed) > _FAILURES:
        lines.append(f"And {len(failed) - _FAILURES} more; `report.html` has them all.")
    return "\n".join(lines).rstrip() + "\n"


def _run(run: RunState) -> dict[str, Any]:
    return {
        "name": run.spec.name,
        "kind": run.spec.kind,
        "status": run.status,
        "started_at": utc(run.started_at),
        "finished_at": utc(run.finished_at),
        "duration_seconds": run_seconds(run),
        "attempts": attempts_made(run),
        "metrics": {key: _finite(value) for key, value in sorted(run.metrics.items())},
        "outputs": list(run.outputs),
        "warnings": list(run.warnings),
        "studio_url": run.studio_url,
        "failure": None if run.failure is None else _failure(run.failure),
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "kind": failure.kind,
        "message": failure.message,
        "cell": failure.cell,
        "traceback": failure.traceback,
    }


def _condition(gate: Gate) -> str | dict[str, int]:
    return gate.condition if isinstance(gate.condition, str) else {"at_least": gate.condition}


def _check(check: MetricCheck) -> dict[str, Any]:
    limits = {"at_least": check.metric.at_least, "at_most": check.metric.at_most}
    return {
        "run": check.metric.run,
        "metric": check.metric.metric,
        **{key: limit for key, limit in limits.items() if limit is not None},
        "value": _finite(check.value),
        "passed": check.passed,
        "reason": check.reason,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _escape(text: str, limit: int = 300) -> str:
    """Inline text that stays what it is: no markup, table cell, HTML, math, mention or link."""
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
    told = [f"{_escape(key, 60)} {number(value)}" for key, value in sorted(metrics.items())]
    more = [f"and {len(told) - most} more"] if len(told) > most else []
    return ", ".join(told[:most] + more)


def web_url(url: str | None) -> str | None:
    """The URL if it is one that a report may link to."""
    return url if url is not None and url.startswith(("https://", "http://")) else None


def _url(url: str | None) -> str:
    """A URL that cannot leave the parentheses of a link, nor its table cell."""
    return re.sub(r"[^A-Za-z0-9_:/?#@!$&'*+,;=%.~-]", _percent, url or "")


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode("utf-8", "replace"))


def _check_row(check: MetricCheck) -> str:
    return _row(
        _escape(check.metric.run),
        _escape(check.metric.metric),
        bound(check.metric),
        "missing" if check.value is None else repr(check.value),
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
