"""A build as output variables, for the later jobs of its pipeline. Pure.

Azure Pipelines' names have letters, digits, `.` and `_`; everything else becomes `_`.
"""

from __future__ import annotations

import re
from itertools import islice

from mlgate.orchestration.builds import Build
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import exact, finite
from mlgate.orchestration.verdict.models import promotion_variables

MOST_METRICS = 500  # more are for `result.json`; the record has to stay small


def output_variables(build: Build) -> dict[str, str]:
    """`verdict`, `runs.total`, `runs.<status>`, `promotion.outcome` and its like, and
    `metric.<run>.<name>`, each as text.

    A metric that is not finite has none. Of metrics whose names come out the same, the later
    ones get a number: `metric.train.f1_2`.
    """
    ended = [status for status in RunStatus if status.ended]
    variables = {"verdict": str(build.verdict or ""), "runs.total": str(len(build.runs))}
    for status in ended:
        variables[f"runs.{status}"] = str(sum(run.status is status for run in build.runs))
    variables |= promotion_variables(build)
    metrics = (
        (f"metric.{_valid(run.spec.name)}.{_valid(name)}", value)
        for run in build.runs
        for name, value in sorted(run.metrics.items())
        if finite(value) is not None
    )
    for name, value in islice(metrics, MOST_METRICS):
        variables[_free(name, variables)] = exact(value)
    return variables


def _valid(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)[:100]


def _free(name: str, taken: dict[str, str]) -> str:
    """Azure Pipelines ignores the case of names."""
    used = {other.lower() for other in taken}
    free, number = name, 1
    while free.lower() in used:
        number += 1
        free = f"{name}_{number}"
    return free
