"""A test's view of the jobs: read them, wait for them, and cause events."""

from __future__ import annotations

from collections.abc import Iterator

from mlgate.emulators.azure_ml.execution import Compute
from mlgate.emulators.azure_ml.jobs import TERMINAL, Job, Stop
from mlgate.emulators.azure_ml.workspace import Workspace


class Jobs:
    def __init__(self, workspace: Workspace, compute: Compute) -> None:
        self._workspace = workspace
        self._compute = compute

    def __getitem__(self, name: str) -> Job:
        with self._workspace.lock:
            return self._workspace.jobs[name]

    def __iter__(self) -> Iterator[Job]:
        with self._workspace.lock:
            return iter(list(self._workspace.jobs.values()))

    def __len__(self) -> int:
        return len(self._workspace.jobs)

    def wait(self, name: str, *statuses: str, timeout: float = 60) -> Job:
        """Wait until the job has one of `statuses` or is over; TimeoutError after `timeout` s."""
        wanted = statuses or TERMINAL
        with self._workspace.changed:
            jobs = self._workspace.jobs
            if not self._workspace.changed.wait_for(
                lambda: name in jobs and (jobs[name].status in wanted or jobs[name].over), timeout
            ):
                status = jobs[name].status if name in jobs else "not there"
                raise TimeoutError(f"The job {name} is {status}, not {' or '.join(wanted)}.")
            return jobs[name]

    def settle(self, job: Job, timeout: float = 60) -> None:
        """Wait until the job is over or removed; TimeoutError after `timeout` seconds."""
        with self._workspace.changed:
            if not self._workspace.changed.wait_for(
                lambda: job.over or self._workspace.jobs.get(job.name) is not job, timeout
            ):
                raise TimeoutError(f"The job {job.name} is {job.status} for good.")

    def preempt(self, name: str) -> None:
        """Take the job's node away."""
        with self._workspace.lock:
            self._workspace.jobs[name].end_for(Stop.PREEMPT)

    def remove(self, name: str) -> None:
        """Remove the job, as if it had never existed."""
        with self._workspace.lock:
            self._compute.vanish(self._workspace.jobs[name])

    def pretend(self, name: str, status: str) -> None:
        """Show a status until its next change; the compute does not know about it."""
        with self._workspace.lock:
            self._workspace.jobs[name].status = status
            self._workspace.changed.notify_all()
