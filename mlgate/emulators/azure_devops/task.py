"""A waiting pipeline step, as a test that acts as the pipeline sees it and ends it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlgate.emulators.azure_devops.plan import FeedLine, Plan
from mlgate.emulators.azure_devops.routing import Organization
from mlgate.emulators.azure_devops.testing import Run


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The step's row in the timeline; `percents` has every percentComplete that was set."""

    state: str
    result: str | None
    percent: int | None
    percents: tuple[int, ...]
    operation: str | None
    issues: tuple[Mapping[str, Any], ...]
    error_count: int
    warning_count: int
    variables: Mapping[str, Any]
    log: int | None


class Task:
    """One agentless task; created by `AzureDevOps.new_task`.

    `on_feed` is called with the lines of each feed request, `on_record` with the record after each
    change, both in the thread that answers the request.
    """

    def __init__(
        self,
        plan: Plan,
        organization: Organization,
        collection_url: str,
        changed: threading.Condition,
    ) -> None:
        self._plan = plan
        self._organization = organization
        self._collection_url = collection_url
        self._changed = changed
        self.on_feed: Callable[[list[FeedLine]], None] | None = None
        self.on_record: Callable[[TaskRecord], None] | None = None

    def __repr__(self) -> str:
        return f"Task({self._plan.task_id})"

    @property
    def properties(self) -> dict[str, str]:
        """The application properties that PublishToAzureServiceBus sets, AuthToken included."""
        return {
            "PlanUrl": self._collection_url,
            "ProjectId": self._plan.project_id,
            "HubName": self._plan.hub,
            "PlanId": self._plan.id,
            "JobId": self._plan.job_id,
            "TimelineId": self._plan.timeline_id,
            "TaskInstanceName": "PublishToAzureServiceBus",
            "TaskInstanceId": self._plan.task_id,
            "AuthToken": self._plan.token,
        }

    @property
    def record(self) -> TaskRecord:
        with self._changed:
            row = self._plan.task_record
            return TaskRecord(
                state=row["state"],
                result=row["result"],
                percent=row.get("percentComplete"),
                percents=tuple(self._plan.percents),
                operation=row.get("currentOperation"),
                issues=tuple(row.get("issues", ())),
                error_count=row.get("errorCount", 0),
                warning_count=row.get("warningCount", 0),
                variables=dict(row.get("variables", {})),
                log=(row.get("log") or {}).get("id"),
            )

    @property
    def feed(self) -> list[FeedLine]:
        with self._changed:
            return list(self._plan.feed)

    @property
    def log(self) -> str:
        """The persistent log that the record refers to; empty if it refers to none."""
        number = self.record.log
        with self._changed:
            return self._plan.logs[number].content.decode() if number else ""

    @property
    def build_id(self) -> str:
        """The value of $(Build.BuildId)."""
        return str(self._plan.build_id)

    @property
    def test_runs(self) -> list[Run]:
        """The test runs that the build's Tests tab shows."""
        with self._changed:
            runs = self._organization.test_runs.values()
            return [copy.deepcopy(run) for run in runs if run.build_id == self._plan.build_id]

    def add_test_runs(self, names: Iterable[str]) -> None:
        """Add test runs as other tasks of the same build would."""
        with self._changed:
            for name in names:
                self._organization.add_test_run(self._plan.build_id, name, "Completed")

    @property
    def attachments(self) -> dict[tuple[str, str], bytes]:
        """The record's attachments, by type (without its prefix) and name."""
        with self._changed:
            kept = self._plan.attachments
            return {(kind.rpartition(".")[2], name): kept[kind, name] for kind, name in kept}

    @property
    def events(self) -> list[str]:
        """The name of every accepted event."""
        with self._changed:
            return list(self._plan.events)

    @property
    def completions(self) -> list[str]:
        """The result of every accepted TaskCompleted, even if it had no effect."""
        with self._changed:
            return list(self._plan.completions)

    def cancel(self, *, job_only: bool = False) -> None:
        """Cancel as a canceled pipeline does: the step ends, and nobody is notified.

        With `job_only`, only the job's row has changed yet, not the step's.
        """
        with self._changed:
            self._plan.finish("canceled", job_only=job_only)
            self._changed.notify_all()

    def end_plan(self, type_key: str = "TaskOrchestrationPlanTerminatedException") -> None:
        """End the whole plan: every call is refused with `type_key` from now on."""
        with self._changed:
            if not self._plan.finished:
                self._plan.finish("abandoned")
            self._plan.ended = type_key
            self._changed.notify_all()

    def expire_token(self) -> None:
        with self._changed:
            self._plan.expires_at = None

    def wait_completed(self, timeout: float | None = None) -> str | None:
        """Wait for the step's result; None if it has none after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._plan.finished, timeout)
            return self._plan.task_record["result"] if self._plan.finished else None

    def notify(self, lines: int, record: TaskRecord) -> None:
        """Call back for changes since the feed had `lines` lines and the row was `record`."""
        arrived, now = self.feed[lines:], self.record
        if arrived and self.on_feed is not None:
            self.on_feed(arrived)
        if now != record and self.on_record is not None:
            self.on_record(now)
