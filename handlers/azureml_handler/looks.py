"""The state of attempts, in as few requests as possible; and the cancel of jobs past their limit.

What is remembered here only saves requests: a host that remembers nothing sends more of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.azureml_handler import outcomes, statuses
from handlers.azureml_handler.control import Control
from handlers.azureml_handler.workspace import build_tag
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.runs import Attempt, Observation

log = logging.getLogger("mlgate")

FEW = 2  # jobs that are requested one by one, even if the build's list has fewer pages
_BUILDS = 200  # of which anything is remembered

Jobs = dict[str, Mapping[str, Any] | None]  # by name, as Jobs - Get returns them


@dataclass(slots=True)
class _Known:
    """What is remembered of a build: how many pages of its list were read, and its jobs by name."""

    pages: int = 0
    began: dict[str, datetime] = field(default_factory=dict)
    ending: frozenset[str] = frozenset()


class Looks:
    """Safe for threads that look at different builds; `cancel` cancels a job."""

    def __init__(
        self, control: Control, cancel: Callable[[str], None], pool: Callable[[], Executor]
    ) -> None:
        self._control = control
        self._cancel = cancel
        self._pool = pool
        self._lock = threading.Lock()
        self._builds: dict[str, _Known] = {}  # the first seen first

    def look(self, attempts: Sequence[Attempt], now: datetime) -> Mapping[Attempt, Observation]:
        """As BackendPort.look."""
        jobs: Jobs = {}
        for build in {attempt.build for attempt in attempts}:
            known = self._known(build)
            own = self._jobs(build, known, {each.id for each in attempts if each.build == build})
            known.ending = frozenset(name for name, job in own.items() if statuses.is_ending(job))
            self._end_overdue(known, own, now)
            jobs |= own
        return {attempt: statuses.observation(jobs[attempt.id], now) for attempt in attempts}

    def is_ending(self, attempt: Attempt) -> bool:
        """Whether the last look saw that its cancel was requested."""
        known = self._builds.get(attempt.build)
        return known is not None and attempt.id in known.ending

    def _known(self, build: str) -> _Known:
        with self._lock:
            known = self._builds.setdefault(build, _Known())
            if len(self._builds) > _BUILDS:
                del self._builds[next(iter(self._builds))]
        return known

    def _jobs(self, build: str, known: _Known, missing: set[str]) -> Jobs:
        """Read pages of the build's jobs, while a request for each missing job would cost more."""
        found: Jobs = {}
        if len(missing) > max(FEW, known.pages):
            read = 0
            for page in self._control.jobs_with_tag(build_tag(build)):
                read += 1
                found |= {job["name"]: job for job in page if job.get("name") in missing}
                missing = missing - found.keys()
                if len(missing) <= max(0, known.pages - read):
                    break
            known.pages = max(known.pages, read)
        return found | {name: self._job(name) for name in missing}

    def _job(self, name: str) -> Mapping[str, Any] | None:
        """The job; None if neither the control plane nor run history has it.

        Each is a store of its own, and either may lag behind a submission. A job that one of them
        still has goes on; both use the same words for statuses.
        """
        job = self._control.job(name)
        if job is None and (run := self._control.run(name)) is not None:
            return {"name": name, "properties": {"status": run.get("status")}}
        return job

    def _end_overdue(self, known: _Known, jobs: Jobs, now: datetime) -> None:
        """Cancel jobs that their own limit should have ended long ago.

        Only run history says when a job began. It is read once that may matter, and again before a
        cancel, because a job whose node was taken away may have begun again.
        """

        def end(job: Mapping[str, Any]) -> None:
            name, limit = job["name"], statuses.limit_of(job)
            began = known.began.get(name)
            try:
                if began is None or statuses.is_overdue(began, limit, now):
                    began = outcomes.began(self._control.run(name) or {})
                    if began is not None:
                        known.began[name] = began
                        if statuses.is_overdue(began, limit, now):
                            self._cancel(name)
            except OrchestrationError as error:
                # The look is valid without it: a later one asks again.
                log.warning("job %s may have outlived its limit: %s", name, error)

        late = [job for job in jobs.values() if job and statuses.may_be_overdue(job, now)]
        if late:
            list(self._pool().map(end, late))
