"""The backend port on Azure ML.

Nothing is remembered here: the workspace's jobs are the state, and an attempt's id is its job's
name, so any host can go on with what another one began.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.credentials import TokenCredential

from handlers.azureml_handler import environments, lazily, outcomes, statuses
from handlers.azureml_handler.access import Access
from handlers.azureml_handler.control import Control, translated
from handlers.azureml_handler.environments import Recipe
from handlers.azureml_handler.jobs import job_of
from handlers.azureml_handler.snapshots import Snapshot, code_name, files_of, with_modes
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import Workspace, build_tag, output_folder
from mlgate.orchestration.allowlist import without_azure_user
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.launching import (
    EVIDENCE,
    KEPT,
    OUTCOME,
    own_variables,
    unusable_output,
)
from mlgate.orchestration.ports import BuildFiles, Checkout, Clock
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task

if TYPE_CHECKING:
    from handlers.azureml_handler.submission import Submission

AT_ONCE = 8  # calls under way at once; the SDK is bound by the interpreter beyond that
FEW = 2  # jobs that are asked for one by one, instead of a page of the build's
_RECORD_LIMIT = 16 << 20  # bytes of an outcome.json
_LAUNCHER = Path(__file__).resolve().parents[2] / "mlgate" / "launcher.py"


class AzureMLHandler:
    """Implements BackendPort in one workspace; safe for threads.

    `compute` ("serverless", or a compute's name) and `environment` are for runs that ask for none.
    """

    def __init__(
        self,
        *,
        workspace: str,
        credential: TokenCredential,
        compute: str,
        environment: str,
        clock: Clock,
        launcher: Path = _LAUNCHER,
    ) -> None:
        self._workspace = Workspace.parse(workspace)
        self._credential = credential
        self._compute = compute
        self._environment = environment
        self._clock = clock
        self._launcher = launcher
        self._transport = Transport(clock)
        self._control = Control(self._workspace, credential, self._transport)
        self._lock = threading.Lock()
        self._sdk: Submission | None = None
        self._access = Access(self._control, credential, clock)
        self._transfers: ThreadPoolExecutor | None = None

    @property
    def host(self) -> None:
        """Any host can do all of it."""
        return

    @property
    def at_once(self) -> int:
        return AT_ONCE

    def close(self) -> None:
        self._control.close()
        self._access.close()
        if self._transfers is not None:
            self._transfers.shutdown()

    def stage(self, checkout: Checkout, request: RepositoryRequest, runs: Sequence[RunSpec]) -> str:
        """Upload the tree once for its content, and register the environments made of its files."""
        files = files_of(checkout.folder, self._launcher)
        with tempfile.NamedTemporaryFile(prefix="mlgate-") as modes:
            code = self._code(with_modes(files, Path(modes.name)))
        return Snapshot(
            code=code,
            commit=checkout.commit,
            repository=without_azure_user(request.url),
            ref=request.ref,
            environments=environments.registered(runs, checkout.read, self._register),
        ).word()

    def _code(self, files: Mapping[str, Path]) -> str:
        """The id of the code version that has these files."""
        name = code_name(files)
        code = self._control.code_id(name)
        if code is None:
            uri, address = self._control.start_upload(name)
            with translated(str(self._workspace)):
                lazily.storage().upload(address, files, self._pool(), self._clock)
            code = self._control.put_code(name, uri)
        return code

    def submit(self, task: Task) -> bool:
        """Always: Azure ML has its own queue."""
        job = job_of(task, default_compute=self._compute, default_environment=self._environment)
        self._submission().submit(job)
        return True

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        """One request for a few attempts each, else pages of their builds' jobs."""
        jobs: dict[str, Mapping[str, Any] | None] = {}
        if len(attempts) > FEW:
            for build in {attempt.build for attempt in attempts}:
                wanted = {attempt.id for attempt in attempts if attempt.build == build}
                for page in self._control.jobs_with_tag(build_tag(build)):
                    jobs.update((str(job.get("name")), job) for job in page)
                    if wanted <= jobs.keys():
                        break
        for attempt in attempts:
            if attempt.id not in jobs:
                jobs[attempt.id] = self._control.job(attempt.id)
        now = self._clock.now()
        for job in filter(None, jobs.values()):
            if statuses.may_be_overdue(job, now):
                self._end_if_overdue(job, now)
        return {attempt: statuses.observation(jobs[attempt.id], now) for attempt in attempts}

    def cancel(self, attempts: Iterable[Attempt]) -> None:
        submission = self._submission()
        asked = [self._pool().submit(submission.cancel, attempt.id) for attempt in attempts]
        # Each is asked, whatever becomes of the others: a job that goes on costs money.
        for problem in [future.exception() for future in asked]:
            if problem is not None:
                raise problem

    def collect(self, task: Task, files: BuildFiles) -> Outcome:
        run = self._control.run(task.attempt.id)
        if run is not None and run.get("status") not in statuses.FINAL:
            raise Temporary(f"The run {task.spec.name} has not ended.", delay=5.0)
        _, warnings = own_variables(task.spec.environment_variables)
        with tempfile.TemporaryDirectory(prefix="mlgate-") as folder:
            place = Path(folder)
            if run is not None:
                with translated(str(self._workspace)):
                    folder_there, pool = output_folder(task.attempt), self._pool()
                    unusable = self._access.use(
                        lambda store: store.download(folder_there, place, pool)
                    )
                if unusable:
                    warnings.append(_left_out(unusable))
            found = outcomes.outcome(task.spec, run, _claimed(place))
            found = replace(found, warnings=(*warnings, *found.warnings))
            return _keep(place, task, found, files)

    def release(self, build: str) -> None:
        """Nothing: jobs and their outputs stay in the workspace, for people to look at."""

    def _end_if_overdue(self, job: Mapping[str, Any], now: datetime) -> None:
        """Cancel a job that its own limit should have ended long ago."""
        run = self._control.run(job["name"])
        if run is not None and outcomes.overdue(run, statuses.limit_of(job), now):
            self._submission().cancel(job["name"])

    def _register(self, recipe: Recipe) -> str:
        return self._submission().register(recipe)

    def _submission(self) -> Submission:
        with self._lock:
            if self._sdk is None:
                made = lazily.submission()
                self._sdk = made(self._workspace, self._credential, self._transport)
            return self._sdk

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._transfers is None:
                self._transfers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="azure-ml")
            return self._transfers


def _left_out(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name) for name in names[:3])
    return f"{len(names)} kept files were left out, for their names are no paths here: {shown}."


def _claimed(place: Path) -> Any:
    """What the launcher's record holds, if that is JSON."""
    try:
        with (place / OUTCOME).open("rb") as content:
            return json.loads(content.read(_RECORD_LIMIT))
    except (OSError, ValueError, RecursionError):
        return None


def _keep(place: Path, task: Task, found: Outcome, files: BuildFiles) -> Outcome:
    """Take over what was downloaded, under `runs/<name>/`; the outcome with its files named."""
    build, prefix = task.attempt.build, f"runs/{task.spec.name}"
    outputs: list[str] = []
    warnings: list[str] = []
    kept = place / KEPT
    for source in sorted(path for path in kept.rglob("*") if path.is_file()):
        path = source.relative_to(kept).as_posix()
        if problem := unusable_output(path):
            warnings.append(problem)
        else:
            files.copy(build, f"{prefix}/{path}", source)
            outputs.append(f"{prefix}/{path}")
    for name in EVIDENCE:
        if (place / name).is_file():
            files.copy(build, f"{prefix}/{name}", place / name)
        elif name == "log.txt":
            reason = (
                found.failure.message if found.failure else "The run was canceled before it began."
            )
            files.write(build, f"{prefix}/{name}", reason.encode() + b"\n")
    return replace(found, outputs=tuple(sorted(outputs)), warnings=(*found.warnings, *warnings))
