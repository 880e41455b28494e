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
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError

from handlers.azureml_handler import environments, outcomes, statuses
from handlers.azureml_handler.control import Control, reason, translated
from handlers.azureml_handler.environments import Recipe
from handlers.azureml_handler.jobs import job_of
from handlers.azureml_handler.snapshots import UNUSABLE, Snapshot, code_name, files_of, with_modes
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import STORE, Workspace, build_tag, output_folder
from mlgate.orchestration.allowlist import without_azure_user
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.launching import (
    EVIDENCE,
    KEPT,
    OUTCOME,
    own_variables,
    unusable_output,
)
from mlgate.orchestration.ports import BuildFiles, Checkout, Clock
from mlgate.orchestration.requirementlines import Unusable
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task

if TYPE_CHECKING:
    from handlers.azureml_handler.storage import Outputs
    from handlers.azureml_handler.submission import Submission

AT_ONCE = 8  # calls under way at once; the SDK is bound by the interpreter beyond that
FEW = 2  # jobs that are asked for one by one, instead of a page of the build's
STORE_TIME = timedelta(hours=1)
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
        self._store: Outputs | None = None
        self._store_until: datetime | None = None
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
        if self._store is not None:
            self._store.close()
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
            environments=self._register(runs, checkout),
        ).word()

    def _code(self, files: Mapping[str, Path]) -> str:
        """The id of the code version that has these files."""
        name = code_name(files)
        code = self._control.code_id(name)
        if code is None:
            uri, address = self._control.start_upload(name)
            with translated(str(self._workspace)):
                _storage().upload(address, files, self._pool(), self._clock)
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
                    unusable = self._download(output_folder(task.attempt), place)
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

    def _register(self, runs: Sequence[RunSpec], checkout: Checkout) -> dict[str, str]:
        """What jobs name the environments by that are made of files of the commit."""
        found: dict[str, str] = {}
        registered: dict[str, str] = {}
        for spec in runs:
            key = environments.key(spec)
            if key is None or key in found:
                continue
            try:
                recipe = environments.recipe(spec, checkout.read)
            except Unusable as problem:
                found[key] = f"{UNUSABLE}{problem}"
                continue
            if recipe.version not in registered:
                registered[recipe.version] = self._registered(recipe, spec)
            found[key] = registered[recipe.version]
        return found

    def _registered(self, recipe: Recipe, spec: RunSpec) -> str:
        try:
            return self._submission().register(recipe)
        except UnfitHost:
            raise
        except Permanent as problem:
            return (
                f"{UNUSABLE}{problem} The environment is made of {environments.ingredients(spec)}: "
                "mend that, or name an environment of the workspace (`azureml`)."
            )

    def _submission(self) -> Submission:
        with self._lock:
            if self._sdk is None:
                try:
                    from handlers.azureml_handler.submission import Submission
                except ImportError as error:
                    raise _not_installed(error) from error

                self._sdk = Submission(self._workspace, self._credential, self._transport)
            return self._sdk

    def _download(self, folder: str, place: Path) -> list[str]:
        """As `Outputs.download`; the key in hand may have been changed since it was handed out."""
        store = self._outputs()
        try:
            return store.download(folder, place, self._pool())
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.FORBIDDEN:
                raise
            if not store.has_key:
                raise UnfitHost(
                    f"The host's identity may not read {store.account}, where runs leave their "
                    f"files: it needs the role Storage Blob Data Reader there. ({reason(error)})"
                ) from error
        return self._outputs(instead_of=store).download(folder, place, self._pool())

    def _outputs(self, instead_of: Outputs | None = None) -> Outputs:
        with self._lock:
            # What gives access expires after hours; a fresh one costs two requests.
            until = self._store_until
            stale = self._store is instead_of or until is None or self._clock.now() >= until
            if self._store is None or stale:
                store, secrets = self._control.datastore(STORE)
                self._store = _storage().Outputs(store, secrets, self._credential, self._clock)
                self._store_until = self._clock.now() + STORE_TIME
            return self._store

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._transfers is None:
                self._transfers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="azure-ml")
            return self._transfers


def _storage() -> ModuleType:
    try:
        from handlers.azureml_handler import storage
    except ImportError as error:
        raise _not_installed(error) from error
    return storage


def _left_out(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name) for name in names[:3])
    return f"{len(names)} kept files were left out, for their names are no paths here: {shown}."


def _not_installed(error: ImportError) -> UnfitHost:
    return UnfitHost(
        "The backend azureml needs packages that are not installed: install mlgate with the extra "
        f"`azureml`. ({error})"
    )


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
