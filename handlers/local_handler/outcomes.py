"""Decides how an attempt ended: the launcher's record, checked against the supervisor's.

The launcher's record is a claim: a success counts only with a matching exit code, and the kept
files are read from the folder. Times and timeouts are the supervisor's.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from handlers.local_handler.attempts import AttemptFolder, Ended, read_file, read_of_run
from mlgate.orchestration.backends.launching import (
    ENDED_FROM_OUTSIDE,
    MOST_CELLS,
    MOST_WARNINGS,
    OUTCOME,
    RECORD_LIMIT,
    Record,
    bounded,
    count_of,
    failure_kind,
    texts,
    time_of,
)
from mlgate.orchestration.runs import (
    CellEvent,
    Failure,
    FailureKind,
    Observation,
    Outcome,
    RunStatus,
)

_TAIL = 4_000  # bytes of a log
_EVENTS_LIMIT = 16 << 20  # bytes
_YEAR = 366 * 86400.0  # seconds, longer than any cell
_OUT_OF_MEMORY = (
    "The operating system killed a process of the run because the machine ran out of memory. Use "
    "smaller data, fewer runs at once, or a bigger machine."
)


def outcome(folder: AttemptFolder, ended: Ended) -> Outcome:
    """The outcome of an ended attempt, without its files. Nothing that a run wrote can make it
    raise."""
    record = Record.read(read_of_run(folder.output / OUTCOME, RECORD_LIMIT))
    status, failure = _verdict(folder, ended, record)
    return Outcome(
        status=status,
        started_at=time_of(ended.started_at),
        finished_at=time_of(ended.finished_at),
        failure=failure,
        metrics=record.metrics or {},
        warnings=(*texts(ended.warnings)[:MOST_WARNINGS], *record.warnings),
    )


def observation(folder: AttemptFolder) -> Observation:
    """What the supervisor and the launcher have reported of an attempt, active or ended."""
    state = folder.state()
    cells: list[CellEvent] = []
    total: int | None = None
    for event in _events(folder.events):
        if event.get("event") == "started":
            total = count_of(event.get("cells_total"))
        elif event.get("event") == "cell" and (cell := _cell(event)) and len(cells) < MOST_CELLS:
            cells.append(cell)
    started_at = time_of(state.started_at)
    return Observation(
        status=RunStatus.RUNNING if started_at else RunStatus.QUEUED,
        started_at=started_at,
        cells=tuple(cells),
        cells_total=total,
        activity=state.activity,
    )


def _verdict(
    folder: AttemptFolder, ended: Ended, record: Record
) -> tuple[RunStatus, Failure | None]:
    claimed = record.failure
    if ended.reason == "canceled":
        return RunStatus.CANCELED, None
    if ended.reason is not None:
        cell, traceback = (claimed.cell, claimed.traceback) if claimed else (None, None)
        kind, message = failure_kind(ended.reason), bounded(ended.message)
        return RunStatus.FAILED, Failure(kind, message, cell, traceback)
    if record.status == "succeeded" and ended.exit_code == 0:
        return RunStatus.SUCCEEDED, None
    if record.status == "failed" and ended.exit_code == 1 and claimed:
        if claimed.kind is FailureKind.KERNEL_DIED and ended.memory_kills:
            claimed = Failure(
                FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY, claimed.cell, claimed.traceback
            )
        return RunStatus.FAILED, claimed
    return RunStatus.FAILED, _unexplained(folder, ended, record)


def _unexplained(folder: AttemptFolder, ended: Ended, record: Record) -> Failure:
    """Why the launcher ended without a valid outcome, as far as the evidence shows."""
    if ended.exit_code == -signal.SIGKILL and ended.memory_kills:
        return Failure(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY)
    if record.status == "canceled":
        message = ENDED_FROM_OUTSIDE
    elif ended.exit_code is not None and ended.exit_code < 0:
        message = f"The run's launcher was killed by signal {-ended.exit_code}."
    else:
        message = f"The run's launcher ended with exit code {ended.exit_code} and no valid outcome."
    return Failure(FailureKind.INFRASTRUCTURE, message, traceback=_tail(folder.log))


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    for line in (read_of_run(path, _EVENTS_LIMIT) or b"").splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # half a line, or not the launcher's
            continue
        if isinstance(event, dict):
            yield event


def _cell(event: Mapping[str, Any]) -> CellEvent | None:
    number, seconds = count_of(event.get("number")), event.get("seconds")
    status = event.get("status")
    if number is None or status not in ("succeeded", "failed", "skipped"):
        return None
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < _YEAR:
        seconds = 0.0
    return CellEvent(number, float(seconds), status)


def _tail(log: Path) -> str | None:
    """The end of the supervisor's log, which has what the launcher printed."""
    said = read_file(log, _TAIL, end=True) or b""
    return said.decode("utf-8", "replace").strip() or None
