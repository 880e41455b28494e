"""Builds the JSON of the callbacks, and reads the timeline. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.devops_handler.display import Display, Line
from mlgate.orchestration.builds import PipelineAddress, Verdict
from mlgate.orchestration.telling import Completion
from mlgate.orchestration.text import one_line

ISSUES_SHOWN = 10  # of each type, the same as Microsoft's agent
ISSUE_LENGTH = 1000
OPERATION_LENGTH = 200
NO_GUID = "00000000-0000-0000-0000-000000000000"
GATES_QUIRK = 12  # up to this plan version, events of gates use other ids


@dataclass(frozen=True, slots=True)
class Row:
    """The step's own record. `present`: it exists; `ended`: the step or its job has ended.

    `readable`: the answer was a timeline.
    """

    present: bool
    ended: bool
    readable: bool = True
    in_progress: bool = False
    percent: int = 0
    log_id: int | None = None


def read_row(answer: Any, address: PipelineAddress) -> Row:
    """The step in a timeline's records."""
    records = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(records, list):
        return Row(present=False, ended=False, readable=False)
    by_id = {
        str(record.get("id", "")).lower(): record for record in records if isinstance(record, dict)
    }
    own = by_id.get(address.task_instance_id.lower())
    job = by_id.get(address.job_id.lower(), {})
    if own is None:
        return Row(present=False, ended=_state(job) == "completed")
    percent = own.get("percentComplete")
    return Row(
        present=True,
        ended="completed" in (_state(own), _state(job)),
        in_progress=_state(own) == "inprogress",
        percent=percent if isinstance(percent, int) else 0,
        log_id=read_log_id(own.get("log")),
    )


def read_log_id(log: Any) -> int | None:
    """The id of a TaskLog, or of a record's reference to one."""
    number = log.get("id") if isinstance(log, dict) else None
    return number if isinstance(number, int) else None


def progress_record(address: PipelineAddress, display: Display) -> dict[str, Any]:
    """The record's changes. `name` is left out: it would replace the step's display name."""
    record: dict[str, Any] = {
        "id": address.task_instance_id,
        "percentComplete": display.percent,
        "currentOperation": one_line(display.operation, OPERATION_LENGTH),
    }
    if not display.in_progress:
        record["state"] = "inProgress"
    if display.log_id is not None:
        record["log"] = {"id": display.log_id}
    return _listed(record)


def final_record(address: PipelineAddress, completion: Completion) -> dict[str, Any]:
    """The record's last changes, without its state: the event ends the step."""
    errors, warnings = _errors(completion), completion.warnings
    record: dict[str, Any] = {
        "id": address.task_instance_id,
        "percentComplete": 100,
        "currentOperation": one_line(completion.reason, OPERATION_LENGTH),
        "errorCount": len(errors),
        "warningCount": len(warnings),
        "issues": [*_issues("error", errors), *_issues("warning", warnings)],
    }
    if completion.variables:
        record["variables"] = {
            name: {"value": value, "isSecret": False}
            for name, value in completion.variables.items()
        }
    return _listed(record)


def event_ids(address: PipelineAddress, gates_version: int | None) -> dict[str, str]:
    """The ids of the event's task and job; `gates_version` is the plan's version for the gates hub,
    else None."""
    if gates_version is not None and gates_version <= GATES_QUIRK:
        return {"taskId": NO_GUID, "jobId": address.task_instance_id}
    return {"taskId": address.task_instance_id, "jobId": address.job_id}


def feed_lines(address: PipelineAddress, lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "value": [line.text for line in lines],
        "count": len(lines),
        "stepId": address.task_instance_id,
        "startLine": lines[0].number,
    }


def log_page(lines: Sequence[Line]) -> bytes:
    """The lines, each after its time, as the agent writes them and the web page expects."""
    return "".join(
        f"{line.written_at:%Y-%m-%dT%H:%M:%S.%f}0Z {line.text}\n" for line in lines
    ).encode()


def _errors(completion: Completion) -> list[str]:
    if completion.verdict is Verdict.SUCCEEDED:
        return []
    findings = (str(finding) for finding in completion.findings)
    return [completion.reason, *findings, *completion.issues]


def _issues(kind: str, messages: Sequence[str]) -> list[dict[str, str]]:
    most = ISSUES_SHOWN if len(messages) <= ISSUES_SHOWN else ISSUES_SHOWN - 1
    shown = [one_line(message, ISSUE_LENGTH) for message in messages[:most]]
    if len(messages) > most:
        shown.append(f"... and {len(messages) - most} more")
    return [{"type": kind, "category": "General", "message": message} for message in shown]


def _state(record: Mapping[str, Any]) -> str:
    return str(record.get("state", "")).lower()


def _listed(record: dict[str, Any]) -> dict[str, Any]:
    return {"count": 1, "value": [record]}
