"""What serving runs are tried with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.contract.launcher.harness import Run

ROWS = [{"b": 2, "a": 1}, {"b": 4, "a": 3.5}]
EXAMPLE = {"outputs/example.json": json.dumps(ROWS)}
ASKED = {"example": "outputs/example.json"}
UNASKED = {"load_seconds", "memory_mb", "requests", "failures"}  # the metrics of a model
ASKED_ONCE = {"failure_ratio", "requests_per_second", "p50_ms", "p95_ms", "p99_ms"}

# Checks a model among what the run `train` kept: see the fixture `serve`.
Serve = Callable[..., Run]


def recorded(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.output / "kept/outputs/model.json").read_text())
    return content


def predict(line: str) -> str:
    return f"import os, sys\nclass Model:\n  def predict(self, rows):\n    {line}\n    return [1]"
