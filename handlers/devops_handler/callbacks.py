"""The endpoints of one waiting step, one method for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handlers.devops_handler import bodies
from handlers.devops_handler.client import Access, Client, Request
from handlers.devops_handler.display import Line
from handlers.devops_handler.endpoints import Endpoints
from handlers.devops_handler.pacing import Kind
from mlgate.orchestration.builds import PipelineAddress, Verdict
from mlgate.orchestration.text import one_line

# The versions that Microsoft's samples pin. Later ones change nothing that is used here, and old
# Azure DevOps Servers know only these.
EVENTS_VERSION = "2.0-preview.1"
TIMELINE_VERSION = "4.1"
ATTACHMENT_VERSION = "5.1-preview.1"
PLAN_VERSION = "7.2-preview.2"
NAME_LENGTH = 260  # characters; a definition's name is shorter


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Raises Temporary, Permanent and `PlanOverError`.

    Requests that add something (lines, the event) are never repeated here, because the first one
    may have arrived.
    """

    client: Client
    access: Access
    address: PipelineAddress

    @property
    def plan(self) -> Endpoints:
        return self.access.plan

    def row(self) -> bodies.Row:
        answer = self._call("GET", self.plan.records, TIMELINE_VERSION, repeat=True)
        return bodies.read_row(answer, self.address)

    def patch_record(self, body: dict[str, Any]) -> None:
        self._call(
            "PATCH", self.plan.records, TIMELINE_VERSION, body, repeat=True, kind=Kind.RECORD
        )

    def send_feed(self, lines: Sequence[Line]) -> None:
        body = bodies.feed_lines(self.address, lines)
        self._call("POST", self.plan.feed, TIMELINE_VERSION, body, kind=Kind.FEED)

    def create_log(self) -> int | None:
        """The id of the step's persistent log. The service has one per path and creates it."""
        body = {"path": f"logs\\{self.address.task_instance_id}"}
        answer = self._call("POST", self.plan.logs, TIMELINE_VERSION, body, repeat=True)
        return bodies.read_log_id(answer)

    def append_log(self, log_id: int, lines: Sequence[Line]) -> None:
        page = bodies.log_page(lines)
        self._call("POST", f"{self.plan.logs}/{log_id}", TIMELINE_VERSION, page, kind=Kind.LOG)

    def attach(self, kind: str, name: str, content: bytes) -> None:
        """Attach a file to the step's record; replaces an earlier one of that kind and name."""
        url = self.plan.attachment(self.address.task_instance_id, kind, name)
        self._call("PUT", url, ATTACHMENT_VERSION, content, repeat=True, kind=Kind.STEP_FILE)

    def post_started(self) -> None:
        self._post_event({"name": "TaskStarted"})

    def post_completed(self, verdict: Verdict) -> None:
        self._post_event({"name": "TaskCompleted", "result": verdict.value})

    def _post_event(self, event: dict[str, Any]) -> None:
        gates_version = self._version() if self.address.hub_name.lower() == "gates" else None
        body = {**event, **bodies.event_ids(self.address, gates_version)}
        self._call("POST", self.plan.events, EVENTS_VERSION, body)

    def pipeline_name(self) -> str | None:
        """The name of the definition that the plan's record refers to.

        `TaskOrchestrationPlanReference.definition`, a `TaskOrchestrationOwner` with id and name:
        microsoft/azure-devops-python-api, models of the task client.
        """
        definition = self._plan_record().get("definition")
        name = definition.get("name") if isinstance(definition, dict) else None
        return one_line(name, NAME_LENGTH) if isinstance(name, str) else None

    def _version(self) -> int | None:
        version = self._plan_record().get("version")
        return version if isinstance(version, int) else None

    def _plan_record(self) -> dict[str, Any]:
        answer = self._call("GET", self.plan.plan, PLAN_VERSION, repeat=True)
        return answer if isinstance(answer, dict) else {}

    def _call(
        self,
        method: str,
        url: str,
        version: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        repeat: bool = False,
        kind: Kind | None = None,
    ) -> Any:
        return self.client.call(self.access, Request(method, url, version, body, repeat, kind))
