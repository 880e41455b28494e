"""A job as plain state."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

TERMINAL = ("Completed", "Failed", "Canceled")
UPDATABLE = ("description", "tags", "displayName", "properties", "isArchived")


class Stop(Enum):
    """Why a job's command is stopped."""

    CANCEL = "cancel"
    LIMIT = "limit"
    PREEMPT = "preempt"
    VANISH = "vanish"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class RunError:
    """A failure as run history shows it; `code` is UserError or SystemError."""

    code: str
    message: str


@dataclass(slots=True)
class Job:
    """`spec` is the `properties` object of the PUT; `status` is one of the service's statuses.

    `number` is its place in the order of submission, and unique.
    """

    name: str
    spec: dict[str, Any]
    created: datetime
    number: int
    status: str = "Starting"
    started: datetime | None = None
    ended: datetime | None = None
    error: RunError | None = None
    cancelation_reason: str | None = None
    logs: tuple[str, ...] = ()  # paths below the job's artifacts
    stop: Stop | None = None
    wake: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def over(self) -> bool:
        return self.status in TERMINAL

    @property
    def data_container(self) -> str:
        return f"dcid.{self.name}"

    @property
    def experiment(self) -> str:
        return str(self.spec.get("experimentName") or "Default")

    @property
    def immutable(self) -> dict[str, Any]:
        """What a second PUT must not change."""
        return {name: value for name, value in self.spec.items() if name not in UPDATABLE}

    def end_for(self, reason: Stop) -> None:
        """Have the command stopped; the first reason counts."""
        if self.stop is None and not self.over:
            self.stop = reason
            self.wake.set()
