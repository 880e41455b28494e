"""The backend port on Azure ML.

The workspace's jobs are the state, and an attempt's id is its job's name, so any host can continue
what another one began. What is remembered here only saves requests.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core.credentials import TokenCredential

from handlers.azureml_handler import access, environments, lazily, outcomes, statuses
from handlers.azureml_handler.access import Access
from handlers.azureml_handler.control import Control, translated
from handlers.azureml_handler.current_models import model_files
from handlers.azureml_handler.environments import Recipe
from handlers.azureml_handler.host import Threads, of_this_host
from handlers.azureml_handler.jobs import job_of
from handlers.azureml_handler.looks import Looks
from handlers.azureml_handler.registered import changes
from handlers.azureml_handler.scratch import Scratch, free_bytes
from handlers.azureml_handler.snapshots import Snapshot, code_name, files_of
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import (
    STORE,
    Workspace,
    model_folder,
    model_uri,
    output_folder,
)
from handlers.in_time import InTime
from mlgate.orchestration.addresses.allowlist import without_azure_user
from mlgate.orchestration.backends.keeping import MOST_BYTES, Chosen, choose, take_over
from mlgate.orchestration.backends.launching import OUTCOME, RECORD_LIMIT, own_variables
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.ports import BuildFiles, Checkout, Registration
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task

if TYPE_CHECKING:
    from handlers.azureml_handler.storage import Outputs
    from handlers.azureml_handler.submission import Submission

AT_ONCE = 8  # concurrent calls; beyond that, the interpreter limits the SDK
_CODE = "code"  # the folder of the files in their container: the SDK never uses its root either
_REGISTER_SECONDS = 45.0  # a verdict waits for it
_NO_ROOM = "This host has no room for more. Set TMPDIR to a folder on a larger disk."

T = TypeVar("T")


class AzureMLHandler:
    """Implements BackendPort in one workspace; safe for threads.

    `compute` ("serverless", or a compute's name) and `environment` are for runs that ask for none.
    Jobs run with the `job_identity` (`user`, `managed` or `managed:CLIENT_ID`), or without one with
    their compute's. At most `most_bytes` of a run's files are kept, fewer if the disk for temporary
    files, whose free bytes `free` returns, has no room for them.
    """

    def __init__(
        self,
        *,
        workspace: str,
        credential: TokenCredential,
        compute: str,
        environment: str,
        clock: Clock,
        job_identity: str | None = None,
        most_bytes: int = MOST_BYTES,
        free: Callable[[], int] = free_bytes,
    ) -> None:
        self._in_time = InTime(_REGISTER_SECONDS)
        self._workspace = Workspace.parse(workspace)
        self._credential = credential
        self._compute = compute
        self._environment = environment
        self._job_identity = job_identity
        self._clock = clock
        self._most_bytes = most_bytes
        self._scratch = Scratch(AT_ONCE, clock, free)
        self._transport = Transport(clock)
        self._control = Control(self._workspace, credential, self._transport)
        self._lock = threading.Lock()
        self._sdk: Submission | None = None
        self._access = Access(self._control, credential, clock, self._transport)
        self._transfers: Threads | None = None
        self._looks = Looks(self._control, self._cancel, self._pool)

    @property
    def host(self) -> None:
        """None: any host can continue a run."""
        return

    @property
    def at_once(self) -> int:
        return AT_ONCE

    def close(self) -> None:
        self._transport.close()
        if self._transfers is not None:
            self._transfers.shutdown()

    def stage(self, checkout: Checkout, request: RepositoryRequest, runs: Sequence[RunSpec]) -> str:
        """Upload the tree unless it is there, and register the environments made from its files."""
        with of_this_host():
            return self._stage(checkout, request, runs)

    def _stage(
        self, checkout: Checkout, request: RepositoryRequest, runs: Sequence[RunSpec]
    ) -> str:
        with tempfile.TemporaryDirectory(prefix="mlgate-") as place:
            code = self._code(files_of(checkout.folder, Path(place)))
        week = environments.week_of(self._clock.now())
        names, warnings = environments.registered(runs, checkout.read, self._register, week)
        return Snapshot(
            code=code,
            commit=checkout.commit,
            repository=without_azure_user(request.url),
            ref=request.ref,
            environments=names,
            warnings=warnings,
        ).word()

    def _code(self, files: Mapping[str, Path]) -> str:
        """The id of the code version that has these files."""
        name = code_name(files)
        code = self._control.code_id(name)
        if code is None:
            place = self._control.start_upload(name)
            below = {f"{_CODE}/{path}": file for path, file in files.items()}
            with translated(str(self._workspace)):
                access.upload(place, self._credential, below, self._pool(), self._clock)
            code = self._control.put_code(name, f"{place[0].rstrip('/')}/{_CODE}")
        return code

    def stage_model(self, version: str, folder: Path) -> str:
        """Upload the files that the datastore lacks; returns the address of their folder there."""
        with of_this_host():
            files, place, pool = model_files(version, folder), model_folder(version), self._pool()
            self._stored(lambda store: store.upload(place, files, pool))
        return model_uri(version)

    def register(self, made: Registration) -> None:
        """Sends one request, and one more for each version that changes."""
        try:
            self._in_time(lambda: self._list_version(made))
        except TimeoutError:
            raise Temporary(f"Azure ML did not answer within {_REGISTER_SECONDS:g} s.") from None

    def _list_version(self, made: Registration) -> None:
        with of_this_host():
            listed = self._control.model_versions(made.model)
            for change in changes(made, listed):
                self._control.put_model(made.model, change.version, change.properties)

    def submit(self, task: Task) -> bool:
        """Always true: Azure ML has its own queue."""
        job = job_of(
            task,
            default_compute=self._compute,
            default_environment=self._environment,
            identity=self._job_identity,
        )
        with of_this_host():
            self._submission().submit(job)
        return True

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        """Sends one request for each of a few attempts, else lists their builds' jobs in pages."""
        with of_this_host():
            return self._looks.look(attempts, self._clock.now())

    def cancel(self, attempts: Iterable[Attempt]) -> None:
        """Skips the jobs that the last look saw being canceled."""
        going_on = [attempt for attempt in attempts if not self._looks.is_ending(attempt)]
        if not going_on:
            return
        with of_this_host():
            submission = self._submission()
            asked = [self._pool().submit(submission.cancel, attempt.id) for attempt in going_on]
            # All are canceled even if one fails: a job that goes on costs money.
            for problem in [future.exception() for future in asked]:
                if problem is not None:
                    raise problem

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        """A job is gone when neither run history nor the control plane has it.

        It is canceled all the same: if it does exist, it must not go on costing money beside the
        attempt that may replace it.
        """
        with of_this_host():
            run = self._history(task)
            folder = output_folder(task.attempt)
            if files is None:
                outcome = f"{folder}/{OUTCOME}"
                claimed = run and self._stored(lambda store: store.read(outcome, RECORD_LIMIT))
                return _outcome(task, run, claimed or None)
            sizes = {} if run is None else self._stored(lambda store: store.sizes(folder))
            wanted = min(sum(sizes.values()), self._most_bytes)
            with self._scratch.folder(task.spec.name, task.attempt.id, wanted) as (scratch, room):
                place, chosen = self._download(folder, sizes, scratch, room)
                found = _outcome(task, run, _claimed(place / OUTCOME))
                return take_over(task, found, chosen, place, files)

    def _history(self, task: Task) -> Mapping[str, Any] | None:
        """The run history of an attempt that has ended; None when its job is gone."""
        name, job = task.spec.name, task.attempt.id
        run = self._control.run(job)
        if run is None:
            if self._control.job(job) is not None:
                raise Temporary(f"Run history does not have the run {name} yet.", delay=5.0)
            self._cancel(job)
        elif run.get("status") not in statuses.FINAL:
            raise Temporary(f"The run {name} has not ended.", delay=5.0)
        return run

    def release(self, build: str) -> None:
        """Does nothing: jobs and their outputs stay in the workspace, for people to look at."""

    def _register(self, recipe: Recipe) -> str:
        return self._submission().register(recipe)

    def _download(
        self, folder: str, sizes: Mapping[str, int], scratch: Path, room: int
    ) -> tuple[Path, Chosen]:
        """Download the run's files; returns their folder, and which of them to keep."""
        elsewhere = f"See {folder} in the workspace's datastore {STORE}."
        if room < self._most_bytes:
            elsewhere = f"{_NO_ROOM} {elsewhere}"
        chosen = choose(sizes, most=min(self._most_bytes, room), elsewhere=elsewhere)
        names = list(chosen.paths)
        if 0 < sizes.get(OUTCOME, 0) <= RECORD_LIMIT:
            names.insert(0, OUTCOME)
        if not names:
            return scratch, chosen

        def download(store: Outputs) -> tuple[Path, Chosen]:
            place = Path(tempfile.mkdtemp(dir=scratch))
            wanted = {name: sizes[name] for name in names}
            lost = store.download(folder, wanted, place, self._pool())
            return place, chosen.without(lost, "their names are not paths here") if lost else chosen

        return self._stored(download)

    def _stored(self, act: Callable[[Outputs], T]) -> T:
        with translated(str(self._workspace)):
            return self._access.use(act)

    def _cancel(self, job: str) -> None:
        self._submission().cancel(job)

    def _submission(self) -> Submission:
        with self._lock:
            if self._sdk is None:
                made = lazily.submission()
                self._sdk = made(self._workspace, self._credential, self._transport)
            return self._sdk

    def _pool(self) -> Executor:
        with self._lock:
            if self._transfers is None:
                self._transfers = Threads(AT_ONCE, thread_name_prefix="azure-ml")
            return self._transfers


def _outcome(task: Task, run: Mapping[str, Any] | None, claimed: bytes | None) -> Outcome:
    found = outcomes.outcome(task.spec, run, claimed)
    _, warnings = own_variables(task.spec.environment_variables)
    if note := Snapshot.read(task.snapshot).warnings.get(environments.key(task.spec) or ""):
        warnings.append(note)
    return replace(found, warnings=(*warnings, *found.warnings))


def _claimed(record: Path) -> bytes | None:
    try:
        return record.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
