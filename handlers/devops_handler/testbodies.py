"""Builds the JSON of test runs and results, and reads their lists. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Results, RunResult
from mlgate.orchestration.text import in_utc, one_line, plain, utc

TEXT_LENGTH = 1000  # the documented limit of comment and stackTrace
TITLE_LENGTH = 250
LONGEST = 7 * 24 * 3600  # seconds; a longer run means that two clocks disagree
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(seconds=LONGEST)
OUTCOMES = {
    RunStatus.SUCCEEDED: "Passed",
    RunStatus.FAILED: "Failed",
    RunStatus.CANCELED: "Aborted",
    RunStatus.SKIPPED: "NotExecuted",
}
OVER = ("completed", "aborted")


@dataclass(frozen=True, slots=True)
class FoundRun:
    id: int
    name: str
    over: bool  # completed or aborted


@dataclass(frozen=True, slots=True)
class FoundResult:
    id: int
    complete: bool


def new_run(results: Results) -> dict[str, Any]:
    """A test run in progress; `results.build_id` must be a number."""
    return {
        "name": results.title,
        "automated": True,
        "state": "InProgress",
        "type": "NoConfigRun",
        "build": {"id": results.build_id},
    }


def new_result(run: RunResult) -> dict[str, Any]:
    """A result that is in progress until its files are attached, but has its outcome already."""
    title = one_line(run.name if run.what == run.name else f"{run.name}: {run.what}", TITLE_LENGTH)
    result: dict[str, Any] = {
        "testCaseTitle": title,
        "automatedTestName": run.name,
        "automatedTestType": "mlgate",
        "automatedTestStorage": one_line(run.what, TITLE_LENGTH),
        "state": "InProgress",
        "outcome": OUTCOMES.get(run.status, "None"),
    }
    if run.seconds is not None:
        result["durationInMs"] = round(min(run.seconds, LONGEST) * 1000)
    if run.started_at is not None:
        # The service requires an end after the start, even for a run that took no time.
        took = timedelta(seconds=max(0.001, min(run.seconds or 0.0, LONGEST)))
        began = min(in_utc(run.started_at), _LATEST)
        result["startedDate"] = utc(began)
        result["completedDate"] = utc(began + took)
    if run.message:
        result["errorMessage"] = one_line(run.message, TEXT_LENGTH)
    if run.stack:
        result["stackTrace"] = plain(run.stack)[:TEXT_LENGTH]
    return result


def completed_result(result_id: int, notes: Iterable[str]) -> dict[str, Any]:
    comment = one_line(" ".join(notes), TEXT_LENGTH)
    return {"id": result_id, "state": "Completed", **({"comment": comment} if comment else {})}


def attachment(name: str, content: bytes) -> dict[str, Any]:
    return {
        "stream": base64.b64encode(content).decode(),
        "fileName": name,
        "attachmentType": "ConsoleLog" if name.endswith(".txt") else "GeneralAttachment",
    }


def read_runs(answer: Any) -> list[FoundRun]:
    """The test runs of a list."""
    return [
        FoundRun(item["id"], str(item.get("name")), str(item.get("state")).lower() in OVER)
        for item in _items(answer)
    ]


def read_results(answer: Any) -> dict[str, FoundResult]:
    """The results of a list, by the name of their test."""
    return {
        str(item.get("automatedTestName")): FoundResult(
            item["id"], complete=str(item.get("state")).lower() == "completed"
        )
        for item in _items(answer)
    }


def read_added(answer: Any, runs: Sequence[RunResult]) -> dict[str, FoundResult]:
    """The results just added for `runs`; the service answers in the same order."""
    items = _items(answer)
    if len(items) != len(runs):
        raise Temporary("Azure DevOps did not return the results that were added.")
    return {
        run.name: FoundResult(item["id"], complete=False)
        for run, item in zip(runs, items, strict=True)
    }


def read_files(answer: Any) -> set[str]:
    """The names of the attachments of a list."""
    return {str(item.get("fileName")) for item in _items(answer)}


def read_run_id(answer: Any) -> int:
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
        raise Permanent("Azure DevOps returned a test run that cannot be read.")
    return int(answer["id"])


def _items(answer: Any) -> list[Mapping[str, Any]]:
    """The objects of a list that have an id. Raises Permanent if it cannot be read."""
    items = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise Permanent("Azure DevOps returned a list that cannot be read.")
    return [item for item in items if isinstance(item, dict) and isinstance(item.get("id"), int)]
