"""Limits what all runs together may add to the record of a build. Pure.

One run's claims are bounded where they are read (`backends.launching`). Here a build of hundreds of
runs is kept from saying hundreds of times that much: everything is in the runs' own files as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from mlgate.orchestration.runs import Failure, Outcome
from mlgate.orchestration.text import tail

TOGETHER = 8 << 20  # characters, of all runs of a build
LEAST = 16 << 10  # characters that one run may say in any case


def share(runs: int) -> int:
    """The characters that each of so many runs may say."""
    return max(LEAST, TOGETHER // max(1, runs))


def within(outcome: Outcome, most: int, gated: Collection[str]) -> Outcome:
    """The outcome cut to about `most` characters; metrics that the gate names, `gated`, stay."""
    failure, warnings, metrics = outcome.failure, outcome.warnings, outcome.metrics
    if failure is not None and failure.traceback is not None:
        failure = _shortened(failure, failure.traceback, most // 2)
    kept = _first(warnings, most // 4)
    if len(kept) < len(warnings):
        kept = (*kept, f"{len(warnings) - len(kept)} more warnings were not kept.")
    names = frozenset(_first(tuple(metrics), most // 4)) | frozenset(gated)
    if not names.issuperset(metrics):
        metrics = _chosen(metrics, names)
        more = len(outcome.metrics) - len(metrics)
        kept = (*kept, f"{more} more metrics were not kept: their names are too long together.")
    return replace(outcome, failure=failure, warnings=kept, metrics=metrics)


def _shortened(failure: Failure, traceback: str, most: int) -> Failure:
    return failure if len(traceback) <= most else replace(failure, traceback=tail(traceback, most))


def _first(texts: tuple[str, ...], most: int) -> tuple[str, ...]:
    """As many of the first texts as have `most` characters together."""
    for count, text in enumerate(texts):
        most -= len(text)
        if most < 0:
            return texts[:count]
    return texts


def _chosen(metrics: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name in names}
