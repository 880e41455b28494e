"""What a run and its launcher receive, and what is accepted of the launcher's record.

The launcher runs as the same user as the run's own code, so its record is a claim: types and
sizes are checked here, and the backend that started it decides whether the claim holds. Each limit
is more than an honest run needs: what is accepted is stored with the build, and read at each look.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from mlgate.orchestration.runs import Failure, FailureKind, RunSpec, Task

OUTCOME = "outcome.json"  # written last, in the launcher's output folder
KEPT = "kept"  # the folder of kept outputs there
RECORD_LIMIT = 16 << 20  # bytes of an outcome that is read
MOST_CELLS = 2_000  # of a notebook that are reported
MOST_WARNINGS = 200  # of a run
CURRENT_MODEL = "MLGATE_CURRENT_MODEL"  # the folder of the current version's files
ENDED_FROM_OUTSIDE = "The run was ended from outside, not by mlgate."

_OURS = "MLGATE_"
_MOST_METRICS = 1_000
_WARNING_LIMIT = 500  # characters, as all limits of texts
_METRIC_LIMIT = 250
_MESSAGE_LIMIT = 4_000
_TRACEBACK_LIMIT = 64 << 10
_YEARS = range(2000, 2201)  # those next to `datetime`'s ends cannot be shown in every zone


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
        "model": spec.model,
        "model_variable": input_variable(spec.model) if spec.model else None,
        "example": spec.example,
        "requests": spec.requests,
        "must_answer": spec.must_answer,
        "load": None if spec.load is None else asdict(spec.load),
        "variables": sorted(own_variables(spec.environment_variables)[0]),
    }


def promised_variables(task: Task) -> dict[str, str]:
    """The variables that every run finds, beside one for each needed run."""
    found = {"BUILD_ID": task.build_id, "RUN_NAME": task.spec.name, "COMMIT": task.commit}
    return {f"{_OURS}{name}": value for name, value in found.items() if value is not None}


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
        f"The environment variable {name!r} was left out: the name is reserved or invalid."
        for name in sorted(refused)
    ]


@dataclass(frozen=True, slots=True)
class Record:
    """A launcher's outcome as claimed; `status` is None when there is no usable record."""

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
        metrics = dict(_metrics(claimed.get("metrics")))
        warnings = texts(claimed.get("warnings"))
        kept = dict(itertools.islice(metrics.items(), _MOST_METRICS))
        kept = {name: kept[name] for name in kept if len(name) <= _METRIC_LIMIT}
        return cls(
            status=status if isinstance(status, str) else None,
            failure=_failure(claimed.get("failure")),
            metrics=kept,
            warnings=_shortened(warnings, len(metrics) - len(kept)),
            started_at=time_of(claimed.get("started_at")),
            finished_at=time_of(claimed.get("finished_at")),
        )


def failure_kind(value: Any) -> FailureKind:
    """A kind that is not public counts as our fault."""
    try:
        return FailureKind(value)
    except ValueError:
        return FailureKind.INFRASTRUCTURE


def time_of(value: Any) -> datetime | None:
    """An aware time, in UTC, from ISO 8601 text; None for anything else, and another age."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.astimezone(UTC) if time and time.tzinfo and time.year in _YEARS else None


def count_of(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 1 << 31 else None


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a list of JSON, each within the limit of a warning, however many."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(bounded(text, _WARNING_LIMIT) for text in value if isinstance(text, str))


def bounded(value: str, limit: int = _MESSAGE_LIMIT) -> str:
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
    """All of them."""
    if not isinstance(value, dict):
        return
    for name, number in value.items():
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            try:
                yield bounded(name, len(name)), float(number)
            except OverflowError:
                continue


def _shortened(warnings: Sequence[str], metrics: int) -> tuple[str, ...]:
    """As many warnings as are kept, and one of what was left out, `metrics` among it."""
    more = max(0, len(warnings) - MOST_WARNINGS)
    counts = ((more, "more warning"), (metrics, "metric"))
    left = [f"{n:,} {noun}" + ("s" if n > 1 else "") for n, noun in counts if n]
    if not left:
        return tuple(warnings)
    told = (
        f"{' and '.join(left)} {'was' if more + metrics == 1 else 'were'} left out: a run may have "
        f"{MOST_WARNINGS} warnings, and {_MOST_METRICS:,} metrics with names of {_METRIC_LIMIT} "
        "characters."
    )
    return (*warnings[:MOST_WARNINGS], told)
