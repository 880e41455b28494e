"""Collects the metrics of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from mlgate.launcher.outputs import OUTPUTS
from mlgate.launcher.values import Place

METRICS = f"{OUTPUTS}/metrics.json"
METRICS_BYTES = 16 * 2**20


def metrics_of_file(path: Path) -> tuple[dict[str, float], list[str]]:
    """The numbers in a flat JSON object, without booleans; and warnings."""
    if not path.is_file():
        return {}, []
    try:
        with path.open("rb") as file:
            text = file.read(METRICS_BYTES + 1)
        if len(text) > METRICS_BYTES:
            return {}, [f"{METRICS} is too large to be read: it has more than 16 MiB"]
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{METRICS} cannot be read: {error}"]
    if not isinstance(content, dict):
        return {}, [f"{METRICS} is not a JSON object, so it has no metrics"]
    numbers = {k: v for k, v in content.items() if type(v) in (int, float)}
    others = [k for k, v in content.items() if k not in numbers and not isinstance(v, bool)]
    warnings = [f"not a number in {METRICS}: {', '.join(others)}"] if others else []
    return numbers, warnings


def collect_metrics(
    place: Place, logged: Mapping[str, float], unwritten: Collection[str]
) -> tuple[dict[str, float], list[str]]:
    """The metrics, and warnings. Only finite numbers, so that any other fails its gate.

    A file that is `unwritten` has the numbers of another run.
    """
    written, warnings = metrics_of_file(place.directory / METRICS)
    if METRICS in unwritten:
        written, warnings = {}, [f"{METRICS} was ignored: this run did not write it"]
    metrics = {}
    for key, value in sorted({**logged, **written}.items()):
        if abs(value) < sys.float_info.max:  # MLflow stores infinity as the maximum; false for NaN
            metrics[key] = float(value)
        else:
            warnings.append(f"the metric `{key}` is left out: it is {value}, not a finite number")
    return metrics, warnings
