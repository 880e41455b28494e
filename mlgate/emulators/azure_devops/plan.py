"""One orchestration plan as plain state: a pipeline's job with the agentless task that waits.

A plan has no lock and no callback, so a request can act on a copy of it: that gives an answer
without its effect.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from mlgate.emulators.azure_devops.exchange import Refusal

NO_GUID = "00000000-0000-0000-0000-000000000000"
GATES_QUIRK = 12  # up to this plan version, events of gates have other ids


@dataclass(frozen=True, slots=True)
class FeedLine:
    """`number` is the line's place in the log, or None if the sender did not give it."""

    text: str
    number: int | None
    arrived_at: datetime


@dataclass(slots=True)
class Log:
    id: int
    path: str
    content: bytes = b""

    def json(self) -> dict[str, Any]:
        return {"id": self.id, "path": self.path, "lineCount": self.content.count(b"\n")}


def _new_id() -> str:
    return str(uuid4())


@dataclass(slots=True)
class Plan:
    """A plan; `token` is the job's, `waits` the task's waitForCompletion, `pipeline` a definition.

    `attachments` are those of the task's record, by (type, name); `events` the accepted names.
    """

    hub: str
    version: int
    waits: bool
    build_id: int = 1
    pipeline: str | None = None
    token: str = field(default="", repr=False)
    expires_at: datetime | None = None
    id: str = field(default_factory=_new_id)
    project_id: str = field(default_factory=_new_id)
    timeline_id: str = field(default_factory=_new_id)
    job_id: str = field(default_factory=_new_id)
    task_id: str = field(default_factory=_new_id)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    percents: list[int] = field(default_factory=list)
    feed: list[FeedLine] = field(default_factory=list)
    logs: dict[int, Log] = field(default_factory=dict)
    attachments: dict[tuple[str, str], bytes] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    completions: list[str] = field(default_factory=list)
    ended: str | None = None  # the typeKey that every call is answered with

    def __post_init__(self) -> None:
        job = {"id": self.job_id, "parentId": None, "type": "Job", "name": "Job"}
        task = {"id": self.task_id, "parentId": self.job_id, "type": "Task", "name": "Publish"}
        for record in (job, task):
            self.records[record["id"] or ""] = {**record, "state": "pending", "result": None}
        self.records[self.job_id]["state"] = "inProgress"
        if not self.waits:
            self.finish("succeeded")

    @property
    def task_record(self) -> dict[str, Any]:
        return self.records[self.task_id]

    @property
    def finished(self) -> bool:
        return bool(self.task_record["state"] == "completed")

    def finish(self, result: str, *, job_only: bool = False) -> None:
        """End the step and its job."""
        self.records[self.job_id].update(state="completed", result=result)
        if not job_only:
            self.task_record.update(state="completed", result=result)

    def refuse_when_ended(self) -> None:
        """Raise Refusal if the plan is over, with the status for its reason."""
        if self.ended is not None:
            status = 404 if "NotFound" in self.ended else 403 if "Security" in self.ended else 400
            raise Refusal(status, self.ended, f"The plan {self.id} is over or cannot be found.")

    def event_ids(self) -> tuple[str, str]:
        """The (jobId, taskId) in events of this plan."""
        if self.hub.lower() == "gates" and self.version <= GATES_QUIRK:
            return self.task_id, NO_GUID
        return self.job_id, self.task_id

    def complete(self, result: str) -> None:
        """Handle a TaskCompleted; it has an effect only while the step still waits."""
        self.completions.append(result)
        if not self.finished:
            self.finish(result)

    def update_record(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Create or update the record with that id; returns a copy of it."""
        record = self.records.setdefault(changes["id"], {"state": "pending", "result": None})
        variables = {**record.get("variables", {}), **changes.get("variables", {})}
        record.update(changes)
        if variables:
            record["variables"] = variables
        if changes["id"] == self.task_id and changes.get("percentComplete") is not None:
            self.percents.append(changes["percentComplete"])
        return copy.deepcopy(record)

    def log_at(self, path: str) -> Log:
        """The log of that path, created if it does not exist."""
        for log in self.logs.values():
            if log.path == path:
                return log
        log = Log(len(self.logs) + 1, path)
        self.logs[log.id] = log
        return log
