"""A build as `result.json`, for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlgate.orchestration.builds import Build, Gate, MetricCheck, RunState, Verdict
from mlgate.orchestration.checks import Check
from mlgate.orchestration.runs import Failure
from mlgate.orchestration.text import finite, utc
from mlgate.orchestration.verdict.facts import attempts_made, run_seconds
from mlgate.orchestration.verdict.models import promotion_json


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
        "repository": _repository(build),
        "backend": build.backend,
        "promotion": promotion_json(build),
        "runs": [_run(run) for run in build.runs],
        **({"checks": checks(build.checks)} if build.is_check else {}),
        "gate": {
            "condition": _condition(build.gate),
            # It may have passed, and the build failed with its model.
            "passed": build.verdict is Verdict.SUCCEEDED or build.gate_passed is not None,
            "metrics": [_check(check) for check in build.metric_checks],
        },
    }


def _repository(build: Build) -> dict[str, Any] | None:
    if build.repository is None:
        return None
    return {"url": build.repository.url, "commit": build.commit}


def checks(made: Sequence[Check]) -> list[dict[str, str]]:
    """As `mlgate doctor --json` has them."""
    return [
        {"name": each.name, "status": each.status, "says": each.says, "remedy": each.remedy}
        for each in made
    ]


def result_json(build: Build) -> bytes:
    """`result` as UTF-8, indented, the same bytes for the same build."""
    text = json.dumps(result(build), indent=2, ensure_ascii=False, allow_nan=False)
    # A half surrogate cannot be UTF-8, but its Python escape happens to be the one of JSON.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _run(run: RunState) -> dict[str, Any]:
    return {
        "name": run.spec.name,
        "kind": run.spec.kind,
        "status": run.status,
        "started_at": utc(run.started_at),
        "finished_at": utc(run.finished_at),
        "duration_seconds": run_seconds(run),
        "attempts": attempts_made(run),
        "metrics": {key: finite(value) for key, value in sorted(run.metrics.items())},
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
        **{key: finite(limit) for key, limit in limits.items() if limit is not None},
        "value": finite(check.value),
        "passed": check.passed,
        "reason": check.reason,
    }
