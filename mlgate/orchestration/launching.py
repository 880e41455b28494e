"""What a run and its launcher are told, and what is believed of what the launcher tells.

The launcher runs as the same user as the run's own code, so its record is a claim: types and
sizes are checked here, and whoever started it says whether the claim holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from mlgate.orchestration.runs import Failure, FailureKind, RunSpec

OUTCOME = "outcome.json"  # written last, in the launcher's output folder
KEPT = "kept"  # the folder of kept outputs there
RECORD_LIMIT = 16 << 20  # bytes of an outcome that is read
ENDED_FROM_OUTSIDE = "The run was ended from outside, not by mlgate."

_OURS = "MLGATE_"
_TEXT_LIMIT = 4_000  # characters of a message or a warning
_TRACEBACK_LIMIT = 100_000
_COUNT_LIMIT = 10_000  # metrics or warnings: more than any honest run has


def launch_task(spec: RunSpec) -> dict[str, Any]:
    """The launcher's `--task`, for JSON."""
    return {
        "version": 1,
        "name": spec.name,
        "kind": str(spec.kind),
        "path": spec.path,
        "parameters": dict(spec.parameters),
        "kernel": spec.kernel,
        "cell_timeout_seconds": spec.cell_timeout_seconds,
        "command": spec.command,
        "directory": spec.directory,
        "outputs": list(spec.outputs),
    }


def promised_variables(build_id: str, run: str) -> dict[str, str]:
    """The variables that every run finds, beside one for each needed run."""
    return {f"{_OURS}BUILD_ID": build_id, f"{_OURS}RUN_NAME": run}


def input_variable(run: str) -> str:
    """The variable with the folder of what the needed run kept."""
    return f"{_OURS}INPUT_{run.upper().replace('-', '_')}"


def own_variables(asked: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The run's own variables that it may set, with a warning for each that it may not."""
    refused = [
        name
        for name, value in asked.items()
        if name.upper().startswith(_OURS) or not name or "=" in name or "\0" in name + value
    ]
    kept = {name: value for name, value in asked.items() if name not in refused}
    return kept, [
        f"The environment variable {name!r} was left out: the name is reserved or not possible."
        for name in sorted(refused)
    ]


@dataclass(frozen=True, slots=True)
class Record:
    """A launcher's outcome as claimed; `status` is None when there is no record to speak of."""

    status: str | None = None
    failure: Failure | None = None
    metrics: Mapping[str, float] | None = None
    warnings: tuple[str, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def read(cls, content: bytes | None) -> Self:
        """From the content of `outcome.json`, whatever that is; never raises."""
        try:
            claimed = json.loads(content or b"")
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(claimed, dict):
            return cls()
        status = claimed.get("status")
        return cls(
            status=status if isinstance(status, str) else None,
            failure=_failure(claimed.get("failure")),
            metrics=dict(_metrics(claimed.get("metrics"))),
            warnings=texts(claimed.get("warnings")),
            started_at=time_of(claimed.get("started_at")),
            finished_at=time_of(claimed.get("finished_at")),
        )


def failure_kind(value: Any) -> FailureKind:
    """What is no public kind is our fault."""
    try:
        return FailureKind(value)
    except ValueError:
        return FailureKind.INFRASTRUCTURE


def time_of(value: Any) -> datetime | None:
    """An aware time from ISO 8601 text; None for anything else."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None


def count_of(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 1 << 31 else None


def texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(bounded(text) for text in value[:_COUNT_LIMIT] if isinstance(text, str))


def bounded(value: str, limit: int = _TEXT_LIMIT) -> str:
    """The text within limits, and without the lone surrogates that JSON can hold and UTF-8 not."""
    cut = value if len(value) <= limit else value[: limit - 1] + "…"
    return cut.encode("utf-8", "replace").decode("utf-8")


def _failure(value: Any) -> Failure | None:
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        return None
    traceback = value.get("traceback")
    return Failure(
        kind=failure_kind(value.get("kind")),
        message=bounded(value["message"]),
        cell=count_of(value.get("cell")),
        traceback=bounded(traceback, _TRACEBACK_LIMIT) if isinstance(traceback, str) else None,
    )


def _metrics(value: Any) -> Iterator[tuple[str, float]]:
    if not isinstance(value, dict):
        return
    for name, number in list(value.items())[:_COUNT_LIMIT]:
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            try:
                yield bounded(name), float(number)
            except OverflowError:
                continue
