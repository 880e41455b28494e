"""Facts about a build and its runs, worded the same in every report. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from mlgate.orchestration.builds import Build, Gate, GateMetric, RunState
from mlgate.orchestration.runs import FailureKind, RunStatus, noted
from mlgate.orchestration.text import exact

_WEB = re.compile(r"https?://[A-Za-z0-9\[]")


def attempts_made(run: RunState) -> int:
    """0 for a run that was never submitted."""
    return run.attempt if run.submitted else run.attempt - 1


def failures_of(run: RunState) -> list[FailureKind]:
    """Why its attempts failed, in order, as far as it is known."""
    kinds = noted(run.warnings)
    return kinds if run.failure is None else [*kinds, run.failure.kind]


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """None when unknown; never negative, even when two clocks disagree."""
    if start is None or end is None:
        return None
    return max(0.0, round((end - start).total_seconds(), 3))


def run_seconds(run: RunState) -> float | None:
    return seconds_between(run.started_at, run.finished_at)


def bound(metric: GateMetric) -> str:
    """`≥ 0.9`, in full."""
    parts = (("≥", metric.at_least), ("≤", metric.at_most))
    return " and ".join(f"{sign} {exact(limit)}" for sign, limit in parts if limit is not None)


def condition_sentence(gate: Gate) -> str:
    if gate.condition == "all_pass":
        return "Every run must succeed."
    if gate.condition == "any_pass":
        return "At least one run must succeed."
    return f"At least {gate.condition} runs must succeed."


def listed(names: Sequence[str], most: int = 5) -> str:
    """`a, b`; of many the first, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def ended_badly(run: RunState) -> bool:
    return run.status in (RunStatus.FAILED, RunStatus.CANCELED)


def counts(build: Build) -> dict[RunStatus, int]:
    """The number of runs with each status that occurs, in the order of `RunStatus`."""
    found = Counter(run.status for run in build.runs)
    return {status: found[status] for status in RunStatus if found[status]}


def why_not_succeeded(build: Build, run: RunState) -> str:
    """Why a run did not succeed, in a few words, even when no failure is recorded."""
    if run.failure is not None:
        return run.failure.message
    if run.status is RunStatus.SKIPPED:
        passed = {other.spec.name for other in build.runs if other.status is RunStatus.SUCCEEDED}
        missing = listed([name for name in run.spec.needs if name not in passed])
        return f"needs {missing}, which did not succeed" if missing else "was not needed"
    if run.status is RunStatus.FAILED:
        return "no cause was recorded"
    if run.started_at is None:
        return "canceled before it started" if run.status.ended else "did not start"
    return "canceled while it ran" if run.status.ended else "did not end"


def web_url(url: str | None) -> str | None:
    """The URL if it is one that a report may link to."""
    return url if url is not None and _WEB.match(url) else None
