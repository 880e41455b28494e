"""The backend port on Azure ML.

Nothing is remembered here but what spares requests: the workspace's jobs are the state, and an
attempt's id is its job's name, so any host can go on with what another one began.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from azure.core.credentials import TokenCredential

from handlers.azureml_handler import environments, lazily, outcomes, statuses
from handlers.azureml_handler.access import Access
from handlers.azureml_handler.control import Control, translated
from handlers.azureml_handler.environments import Recipe
from handlers.azureml_handler.jobs import job_of
from handlers.azureml_handler.looks import Looks
from handlers.azureml_handler.scratch import Scratch, free_bytes
from handlers.azureml_handler.snapshots import Snapshot, code_name, files_of, with_modes
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import STORE, Workspace, output_folder
from mlgate.orchestration.allowlist import without_azure_user
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.keeping import MOST_BYTES, Chosen, choose, take_over
from mlgate.orchestration.launching import OUTCOME, RECORD_LIMIT, own_variables
from mlgate.orchestration.ports import BuildFiles, Checkout, Clock
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task

if TYPE_CHECKING:
    from handlers.azureml_handler.storage import Outputs
    from handlers.azureml_handler.submission import Submission

AT_ONCE = 8  # calls under way at once; the SDK is bound by the interpreter beyond that
_NO_ROOM = "This host has no room for more: give it a TMPDIR on a larger disk."
_LAUNCHER = Path(__file__).resolve().parents[2] / "mlgate" / "launcher.py"

T = TypeVar("T")


class AzureMLHandler:
    """Implements BackendPort in one workspace; safe for threads.

    `compute` ("serverless", or a compute's name) and `environment` are for runs that ask for none;
    `most_bytes` of what a run leaves are taken over, fewer where the disk for temporary files, of
    which `free` tells the free bytes, has no room for them.
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
        most_bytes: int = MOST_BYTES,
        free: Callable[[], int] = free_bytes,
    ) -> None:
        self._workspace = Workspace.parse(workspace)
        self._credential = credential
        self._compute = compute
        self._environment = environment
        self._clock = clock
        self._launcher = launcher
        self._most_bytes = most_bytes
        self._scratch = Scratch(AT_ONCE, clock, free)
        self._transport = Transport(clock)
        self._control = Control(self._workspace, credential, self._transport)
        self._lock = threading.Lock()
        self._sdk: Submission | None = None
        self._access = Access(self._control, credential, clock, self._transport)
        self._transfers: ThreadPoolExecutor | None = None
        self._looks = Looks(self._control, self._cancel, self._pool)

    @property
    def host(self) -> None:
        """Any host can do all of it."""
        return

    @property
    def at_once(self) -> int:
        return AT_ONCE

    def close(self) -> None:
        self._transport.close()
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
        return self._looks.look(attempts, self._clock.now())

    def cancel(self, attempts: Iterable[Attempt]) -> None:
        """What the last look saw being canceled is not asked again."""
        going_on = [attempt for attempt in attempts if not self._looks.is_ending(attempt)]
        if not going_on:
            return
        submission = self._submission()
        asked = [self._pool().submit(submission.cancel, attempt.id) for attempt in going_on]
        # Each is asked, whatever becomes of the others: a job that goes on costs money.
        for problem in [future.exception() for future in asked]:
            if problem is not None:
                raise problem

    def collect(self, task: Task, files: BuildFiles) -> Outcome:
        """A job is gone when neither run history nor the control plane has it.

        It is canceled all the same: should it exist after all, it must not go on costing money
        beside the attempt that may take its place.
        """
        name, job = task.spec.name, task.attempt.id
        run = self._control.run(job)
        if run is None:
            if self._control.job(job) is not None:
                raise Temporary(f"Run history does not have the run {name} yet.", delay=5.0)
            self._cancel(job)
        elif run.get("status") not in statuses.FINAL:
            raise Temporary(f"The run {name} has not ended.", delay=5.0)
        folder = output_folder(task.attempt)
        sizes = {} if run is None else self._stored(lambda store: store.sizes(folder))
        wanted = min(sum(sizes.values()), self._most_bytes)
        with self._scratch.folder(name, job, wanted) as (scratch, room):
            place, chosen = self._download(folder, sizes, scratch, room)
            found = outcomes.outcome(task.spec, run, _claimed(place / OUTCOME))
            _, warnings = own_variables(task.spec.environment_variables)
            found = replace(found, warnings=(*warnings, *found.warnings))
            return take_over(task, found, chosen, place, files)

    def release(self, build: str) -> None:
        """Nothing: jobs and their outputs stay in the workspace, for people to look at."""

    def _register(self, recipe: Recipe) -> str:
        return self._submission().register(recipe)

    def _download(
        self, folder: str, sizes: Mapping[str, int], scratch: Path, room: int
    ) -> tuple[Path, Chosen]:
        """Bring here what the run left; where it is, and what of it is to be taken over."""
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
            lost = store.download(folder, names, place, self._pool())
            return place, chosen.without(lost, "their names are no paths here") if lost else chosen

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

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._transfers is None:
                self._transfers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="azure-ml")
            return self._transfers


def _claimed(record: Path) -> bytes | None:
    try:
        return record.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
