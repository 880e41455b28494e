"""The compute: jobs wait for a free node, really run there, and leave their outputs and logs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from os import pathsep
from pathlib import Path

from mlgate.emulators.azure_ml.faults import FaultKind, Faults
from mlgate.emulators.azure_ml.jobs import Job, RunError, Stop
from mlgate.emulators.azure_ml.mounts import Mounts, NotMountable, identity_refusal
from mlgate.emulators.azure_ml.processes import JobProcess
from mlgate.emulators.azure_ml.storage import Storage, StorageRefused
from mlgate.emulators.azure_ml.workspace import Workspace

LOG = "user_logs/std_log.txt"
_KEPT = ("outputs", "logs")  # of the working directory, beside the named outputs
_TAIL = 4000  # characters of the log in an error's message
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")


@dataclass(frozen=True, slots=True)
class Node:
    """What every job has: an interpreter, variables, and seconds from SIGTERM to SIGKILL."""

    python: Path
    environment: Mapping[str, str]
    grace_seconds: float

    def variables(self, job: Job, workspace: Workspace, mounts: Mounts) -> dict[str, str]:
        """The job's variables: `python` and `pip` are those beside `self.python`, and metrics go to
        the job's own store."""
        path = pathsep.join(
            [str(self.python.parent), self.environment.get("PATH", "/usr/bin:/bin")]
        )
        return {
            **self.environment,
            "PATH": path,
            "AZUREML_RUN_ID": job.name,
            "AZUREML_EXPERIMENT_NAME": job.experiment,
            "AZUREML_ARM_SUBSCRIPTION": workspace.subscription_id,
            "AZUREML_ARM_RESOURCEGROUP": workspace.resource_group,
            "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
            "MLFLOW_TRACKING_URI": f"sqlite:///{mounts.root / 'mlflow.db'}",
            "MLFLOW_EXPERIMENT_NAME": job.experiment,
            **(job.spec.get("environmentVariables") or {}),
        }


class Compute:
    """Runs at most `parallel` jobs at once; `stop` leaves nothing running."""

    def __init__(
        self,
        workspace: Workspace,
        storage: Storage,
        faults: Faults,
        clock: Callable[[], datetime],
        node: Node,
        folder: Path,
        parallel: int,
    ) -> None:
        self._workspace = workspace
        self._storage = storage
        self._faults = faults
        self._clock = clock
        self._node = node
        self._folder = folder
        self._nodes = ThreadPoolExecutor(parallel, thread_name_prefix="azure-ml-node")

    def submit(self, job: Job) -> None:
        """Queue the job. The caller holds the lock and has already answered "Starting"."""
        self._set(job, "Queued")
        self._nodes.submit(self._run, job)

    def stop(self) -> None:
        with self._workspace.lock:
            for job in self._workspace.jobs.values():
                job.end_for(Stop.SHUTDOWN)
        self._nodes.shutdown(cancel_futures=True)

    def cancel(self, job: Job) -> None:
        """The caller holds the lock."""
        if job.over or job.stop is not None:
            return
        job.end_for(Stop.CANCEL)
        if job.status == "Queued":
            self._end(job, "Canceled")
        else:
            self._set(job, "CancelRequested")

    def _run(self, job: Job) -> None:
        mounts = Mounts(self._folder / str(job.number))
        try:
            self._execute(job, mounts)
        except (NotMountable, StorageRefused, OSError) as problem:
            self._fail(job, "UserError", f"The job's files could not be moved: {problem}")
        except Exception as defect:  # noqa: BLE001 -- must not look like a job that never ends
            self._fail(job, "SystemError", f"The emulator failed: {defect!r}")
        finally:
            shutil.rmtree(mounts.root, ignore_errors=True)

    def _execute(self, job: Job, mounts: Mounts) -> None:
        if not self._proceed(job, "Preparing"):
            return
        if refusal := identity_refusal(job, self._workspace):
            self._fail(job, "UserError", refusal)
            return
        mounts.prepare(job, self._workspace, self._storage)
        log = mounts.root / LOG
        log.parent.mkdir(parents=True)
        if not self._proceed(job, "Running"):
            return
        fault = self._faults.take("execution")
        process = JobProcess(
            mounts.command(job),
            mounts.working_directory,
            self._node.variables(job, self._workspace, mounts),
            log,
            job.wake,
        )
        with self._workspace.lock:
            job.started = self._clock()
            if fault is not None:
                self._strike(job, fault.kind)
        if not job.wake.wait(_limit(job)):
            job.end_for(Stop.LIMIT)
        asked = job.stop in (Stop.CANCEL, Stop.LIMIT, Stop.SHUTDOWN)
        code = process.end(self._node.grace_seconds) if asked else process.kill()
        self._finish(job, mounts, log, code)

    def _strike(self, job: Job, kind: FaultKind) -> None:
        match kind:
            case FaultKind.PREEMPT:
                job.end_for(Stop.PREEMPT)
            case FaultKind.VANISH:
                self.vanish(job)
            case _:
                self._set(job, "Unknown")

    def vanish(self, job: Job) -> None:
        """The caller holds the lock."""
        self._workspace.jobs.pop(job.name, None)
        job.end_for(Stop.VANISH)
        self._workspace.changed.notify_all()

    def _finish(self, job: Job, mounts: Mounts, log: Path, code: int) -> None:
        if job.stop in (Stop.SHUTDOWN, Stop.VANISH):
            return
        if job.stop is not Stop.PREEMPT:  # a preempted node is gone, and so is everything on it
            if job.stop is None:
                self._set(job, "Finalizing")
            self._keep(job, mounts)
        if job.stop is Stop.CANCEL:
            self._end(job, "Canceled")
        elif job.stop is Stop.LIMIT:
            reason = f"The job was ended because it ran longer than its limit, {_limit(job):g} s."
            if self._workspace.fails_at_limit:
                self._fail(job, "UserError", reason)
            else:
                job.cancelation_reason = reason
                self._end(job, "Canceled")
        elif job.stop is Stop.PREEMPT:
            self._fail(job, "SystemError", "The node was preempted while the job ran on it.")
        elif code == 0:
            self._end(job, "Completed")
        else:
            tail = log.read_text(errors="replace")[-_TAIL:]
            self._fail(
                job,
                "UserError",
                f"Execution failed. User process '/bin/bash' exited with status code {code}. "
                f"Please check log file '{LOG}' for error details. Error: {tail}",
            )

    def _keep(self, job: Job, mounts: Mounts) -> None:
        """Upload named outputs to their paths, and logs, ./outputs and ./logs as artifacts."""
        artifacts = self._workspace.artifacts(job)
        for local, place in mounts.outputs.values():
            self._storage.upload(local, place)
        self._storage.put(artifacts / LOG, (mounts.root / LOG).read_bytes())
        for name in _KEPT:
            if (mounts.working_directory / name).is_dir():
                self._storage.upload(mounts.working_directory / name, artifacts / name)
        job.logs = (LOG,)

    def _proceed(self, job: Job, status: str) -> bool:
        """Give the job that status, if it is still wanted; returns whether it is."""
        with self._workspace.lock:
            if job.over or job.stop in (Stop.SHUTDOWN, Stop.VANISH):
                return False
            if job.stop is not None:
                self._end(job, "Canceled")
                return False
            self._set(job, status)
            return True

    def _fail(self, job: Job, code: str, message: str) -> None:
        with self._workspace.lock:
            if not job.over:
                job.error = RunError(code, message)
                self._end(job, "Failed")

    def _end(self, job: Job, status: str) -> None:
        with self._workspace.lock:
            job.ended = self._clock()
            self._set(job, status)

    def _set(self, job: Job, status: str) -> None:
        with self._workspace.lock:
            job.status = status
            self._workspace.changed.notify_all()


def _limit(job: Job) -> float | None:
    """The job's own limit in seconds, from ISO 8601 such as PT1H30M; None if it has none."""
    asked = (job.spec.get("limits") or {}).get("timeout")
    found = _DURATION.fullmatch(asked) if asked else None
    if found is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
