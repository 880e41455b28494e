"""The stand-in for an Azure DevOps organization: an HTTP server on loopback.

What it answers follows the service's REST specification and what its clients rely on. `strict`
adds what the service forgives and a client must not need: every such slip is in `violations`.
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
    """A request as the server saw it; `status` 0 when its connection was cut instead.

    `call` is the route's name (empty for an unknown one), `caller` "job" or "identity" by whose
    token it bore, None for a token that is not good (any more).
    """

    method: str
    path: str
    status: int
    call: str
    caller: str | None
    body: bytes
    at: datetime


class AzureDevOps:
    """A context manager; serves from a thread on a free port of 127.0.0.1 while it is open."""

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
        """What the task sends as PlanUrl; ends in a slash."""
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
        """A plan with one job and one task; `wait` is waitForCompletion.

        `build_id` is what $(Build.BuildId) stands for; the next number when None. `pipeline` is
        the name of the definition that the plan refers to, if it does.
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
        """A bearer token of a user or service principal of the organization."""
        issued = self._clock()
        token = tokens.issue("-", self.collection_url, issued, issued + timedelta(hours=1))
        with self._changed:
            self._organization.identities.add(token)
        return token

    @property
    def violations(self) -> list[str]:
        """What a strict service would have minded; always empty unless `strict`."""
        return list(self._dispatcher.violations) if self._strict else []

    def _respond(self, request: Request) -> Answer:
        """The answer to a request; raises Drop where the connection is cut instead."""
        with self._changed:
            heard = [task for task in self._tasks if task.on_feed or task.on_record]
            before = [(task, len(task.feed), task.record) for task in heard]
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
            task.tell(lines, record)
        if isinstance(handled.answer, Drop):
            raise handled.answer
        return handled.answer
