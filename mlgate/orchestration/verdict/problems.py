"""Why a run counts as failed, the most useful part first.

Azure Pipelines keeps 1000 characters of a result's stack trace, and a traceback says what happened
at its end; so the failing cell's source and the last lines come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import head, plain, tail
from mlgate.orchestration.verdict import notebook_view
from mlgate.orchestration.verdict.facts import why_not_succeeded
from mlgate.orchestration.verdict.notebook_view import CellRecord

SHOWN = 1000  # characters that Azure Pipelines documents for a stack trace
_SOURCE = 300
_LAST_LINES = 600
_FULL = 64_000  # of a traceback in full, which may be as long as its notebook


@dataclass(frozen=True, slots=True)
class Problem:
    type: str
    message: str
    text: str | None = None


def problem_of(build: Build, run: RunState) -> Problem | None:
    """Why the run counts as failed; None if it does not.

    A run canceled from outside fails the gate; one canceled along with its build does not.
    """
    canceled_alone = run.status is RunStatus.CANCELED and build.verdict is not Verdict.CANCELED
    if run.status is not RunStatus.FAILED and not canceled_alone:
        return None
    message = why_not_succeeded(build, run)
    if run.failure is None or canceled_alone:
        return Problem(run.status, message)
    return Problem(run.failure.kind, message, run.failure.traceback)


def failing_cell(run: RunState, records: Sequence[CellRecord]) -> CellRecord | None:
    """The cell that the failure names, else the first that failed by its own account."""
    named = run.failure.cell if run.failure is not None else None
    failed = [cell for cell in records if cell.status == notebook_view.FAILED]
    return next((cell for cell in records if cell.number == named), failed[0] if failed else None)


def short_trace(source: str, traceback: str) -> str:
    """The cell's source and the traceback, or the head of one and the tail of the other.

    At most `SHOWN` characters; an empty part leaves no gap.
    """
    source, traceback = head(plain(source).strip(), _SOURCE), plain(traceback).strip()
    if len(source) + 2 + len(traceback) > SHOWN:
        traceback = tail(traceback, _LAST_LINES)
    return f"{source}\n\n{traceback}".strip()


def full_trace(source: str, traceback: str) -> str:
    """`short_trace`, and after it the traceback in full where it is not in there."""
    short, traceback = short_trace(source, traceback), tail(plain(traceback).strip(), _FULL)
    return short if short.endswith(traceback) else f"{short}\n\nIn full:\n{traceback}"
