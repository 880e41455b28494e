"""How an attempt ended: the launcher's word, checked against the supervisor's.

The launcher runs as the same user as the run's own code, so its record is taken as a claim: types
and sizes are checked, a success counts only with the exit code of one, and which files were kept is
read from the folder. Times and time-outs are the supervisor's.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from handlers.local_handler.attempts import AttemptFolder, Ended, read_file, read_json
from mlgate.orchestration.runs import (
    CellEvent,
    Failure,
    FailureKind,
    Observation,
    Outcome,
    RunStatus,
)

_TEXT_LIMIT = 4_000  # characters of a message or a warning
_TRACEBACK_LIMIT = 100_000
_COUNT_LIMIT = 10_000  # metrics, warnings, cells: more than any honest run has
_EVENTS_LIMIT = 16 << 20  # bytes
_YEAR = 366 * 86400.0  # seconds, more than a cell can take
_OUT_OF_MEMORY = (
    "The operating system killed a process of the run, for the machine had no memory left: use "
    "smaller data, fewer runs at once, or a bigger machine."
)


def outcome(folder: AttemptFolder, ended: Ended) -> Outcome:
    """The outcome of an ended attempt, without its files. Never raises for what a run wrote."""
    claimed = read_json(folder.output / "outcome.json")
    record: Mapping[str, Any] = claimed if isinstance(claimed, dict) else {}
    status, failure = _verdict(folder, ended, record)
    return Outcome(
        status=status,
        started_at=time_of(ended.started_at),
        finished_at=time_of(ended.finished_at),
        failure=failure,
        metrics=dict(_metrics(record.get("metrics"))),
        warnings=(*_texts([*ended.warnings]), *_texts(record.get("warnings"))),
    )


def observation(folder: AttemptFolder) -> Observation:
    """What the supervisor and the launcher tell of an attempt that goes on, or went on."""
    state = folder.state()
    cells: list[CellEvent] = []
    total: int | None = None
    for event in _events(folder.events):
        if event.get("event") == "started":
            total = _count(event.get("cells_total"))
        elif event.get("event") == "cell" and (cell := _cell(event)) and len(cells) < _COUNT_LIMIT:
            cells.append(cell)
    started_at = time_of(state.started_at)
    return Observation(
        status=RunStatus.RUNNING if started_at else RunStatus.QUEUED,
        started_at=started_at,
        cells=tuple(cells),
        cells_total=total,
        activity=state.activity,
    )


def time_of(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None


def _verdict(
    folder: AttemptFolder, ended: Ended, record: Mapping[str, Any]
) -> tuple[RunStatus, Failure | None]:
    told = _failure(record.get("failure"))
    if ended.reason == "canceled":
        return RunStatus.CANCELED, None
    if ended.reason is not None:
        cell, traceback = (told.cell, told.traceback) if told else (None, None)
        kind, message = _kind(ended.reason), _text(ended.message)
        return RunStatus.FAILED, Failure(kind, message, cell, traceback)
    if record.get("status") == "succeeded" and ended.exit_code == 0:
        return RunStatus.SUCCEEDED, None
    if record.get("status") == "failed" and ended.exit_code == 1 and told:
        if told.kind is FailureKind.KERNEL_DIED and ended.memory_kills:
            told = Failure(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY, told.cell, told.traceback)
        return RunStatus.FAILED, told
    return RunStatus.FAILED, _unexplained(folder, ended, record)


def _unexplained(folder: AttemptFolder, ended: Ended, record: Mapping[str, Any]) -> Failure:
    """Why the launcher ended without an outcome that holds, as far as the evidence goes."""
    if ended.exit_code == -signal.SIGKILL and ended.memory_kills:
        return Failure(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY)
    if record.get("status") == "canceled":
        message = "The run was ended from outside, not by mlgate."
    elif ended.exit_code is not None and ended.exit_code < 0:
        message = f"The run's launcher was killed by signal {-ended.exit_code}."
    else:
        message = f"The run's launcher ended with exit code {ended.exit_code} and no valid outcome."
    return Failure(FailureKind.INFRASTRUCTURE, message, traceback=_tail(folder.log))


def _failure(value: Any) -> Failure | None:
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        return None
    traceback = value.get("traceback")
    return Failure(
        kind=_kind(value.get("kind")),
        message=_text(value["message"]),
        cell=_count(value.get("cell")),
        traceback=_text(traceback, _TRACEBACK_LIMIT) if isinstance(traceback, str) else None,
    )


def _kind(value: Any) -> FailureKind:
    try:
        return FailureKind(value)
    except ValueError:
        return FailureKind.INFRASTRUCTURE


def _metrics(value: Any) -> Iterator[tuple[str, float]]:
    if not isinstance(value, dict):
        return
    for name, number in list(value.items())[:_COUNT_LIMIT]:
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            try:
                yield _text(name), float(number)
            except OverflowError:
                continue


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    for line in (read_file(path, _EVENTS_LIMIT) or b"").splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # half a line, or not the launcher's
            continue
        if isinstance(event, dict):
            yield event


def _cell(event: Mapping[str, Any]) -> CellEvent | None:
    number, seconds = _count(event.get("number")), event.get("seconds")
    status = event.get("status")
    if number is None or status not in ("succeeded", "failed", "skipped"):
        return None
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < _YEAR:
        seconds = 0.0
    return CellEvent(number, float(seconds), status)


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 1 << 31 else None


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [_text(text) for text in value[:_COUNT_LIMIT] if isinstance(text, str)]


def _text(value: str, limit: int = _TEXT_LIMIT) -> str:
    """The text within limits, and without the lone surrogates that JSON can hold and UTF-8 not."""
    cut = value if len(value) <= limit else value[: limit - 1] + "…"
    return cut.encode("utf-8", "replace").decode("utf-8")


def _tail(log: Path) -> str | None:
    """The end of what the launcher wrote where nobody expects it to write."""
    said = read_file(log, _TEXT_LIMIT, end=True) or b""
    return said.decode("utf-8", "replace").strip() or None
