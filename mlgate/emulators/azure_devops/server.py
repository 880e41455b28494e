"""Emulates an Azure DevOps organization: an HTTP server on loopback.

Its answers follow the service's REST specification and what clients rely on. With `strict`, it also
records in `violations` every request that the service tolerates but a client should not send.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from mlgate.emulators.azure_devops import tokens
from mlgate.emulators.azure_devops.dispatch import Dispatcher
from mlgate.emulators.azure_devops.exchange import Answer, Drop, Request
from mlgate.emulators.azure_devops.faults import Faults
from mlgate.emulators.azure_devops.listener import Listener
from mlgate.emulators.azure_devops.plan import Plan
from mlgate.emulators.azure_devops.routing import Organization
from mlgate.emulators.azure_devops.task import Task


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the server saw it; `status` is 0 if its connection was cut instead.

    `call` is the route's name, or empty for an unknown one. `caller` is "job" or "identity",
    depending on the token, or None for an invalid or expired token.
    """

    method: str
    path: str
    status: int
    call: str
    caller: str | None
    body: bytes
    at: datetime


class AzureDevOps:
    """A context manager that serves from a thread on a free port of 127.0.0.1 while it is open."""

    def __init__(
        self,
        *,
        strict: bool = True,
        faults: Faults | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.faults = faults or Faults()
        self.requests: list[Received] = []
        self._strict = strict
        self._clock = clock
        self._organization = Organization()
        self._dispatcher = Dispatcher(self._organization, self.faults, clock)
        self._tasks: list[Task] = []
        self._changed = threading.Condition(threading.RLock())
        self._listener = Listener(self._respond)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.stop()

    @property
    def collection_url(self) -> str:
        """The PlanUrl that the task sends; ends with a slash."""
        return f"http://127.0.0.1:{self._listener.port}/org/"

    def new_task(
        self,
        *,
        wait: bool = True,
        hub: str = "build",
        plan_version: int = 12,
        build_id: int | None = None,
        pipeline: str | None = None,
        token_lifetime: timedelta = timedelta(hours=48),
    ) -> Task:
        """Create a plan with one job and one task; `wait` is waitForCompletion.

        `build_id` is the value of $(Build.BuildId), by default the next number. `pipeline` is the
        name of the definition that the plan refers to, if any.
        """
        number = len(self._tasks) + 1 if build_id is None else build_id
        plan = Plan(hub=hub, version=plan_version, waits=wait, build_id=number, pipeline=pipeline)
        issued = self._clock()
        plan.expires_at = issued + token_lifetime
        plan.token = tokens.issue(plan.id, self.collection_url, issued, plan.expires_at)
        task = Task(plan, self._organization, self.collection_url, self._changed)
        with self._changed:
            self._organization.plans[plan.id] = plan
            self._tasks.append(task)
        return task

    def new_identity(self) -> str:
        """Create a bearer token of a user or service principal of the organization."""
        issued = self._clock()
        token = tokens.issue("-", self.collection_url, issued, issued + timedelta(hours=1))
        with self._changed:
            self._organization.identities.add(token)
        return token

    @property
    def violations(self) -> list[str]:
        """What a strict service would have refused; always empty without `strict`."""
        return list(self._dispatcher.violations) if self._strict else []

    def _respond(self, request: Request) -> Answer:
        """The answer to a request; raises Drop to cut the connection instead."""
        with self._changed:
            watched = [task for task in self._tasks if task.on_feed or task.on_record]
            before = [(task, len(task.feed), task.record) for task in watched]
            handled = self._dispatcher.handle(request)
            self.requests.append(
                Received(
                    request.method,
                    request.path,
                    handled.answer.status if isinstance(handled.answer, Answer) else 0,
                    handled.call,
                    handled.caller,
                    request.body,
                    self._clock(),
                )
            )
            self._changed.notify_all()
        for task, lines, record in before:
            task.notify(lines, record)
        if isinstance(handled.answer, Drop):
            raise handled.answer
        return handled.answer
