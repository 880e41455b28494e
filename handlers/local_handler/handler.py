"""The backend port for this machine.

A folder per attempt is the whole state. This class remembers nothing, so any number of workers, one
after the other or at once, can act on the same runs. Exactly one process ever claims an attempt:
its supervisor, or a worker that makes sure that it never starts.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from handlers.local_handler import (
    collection,
    outcomes,
    processes,
    supervisor,
    tasks,
    trees,
    variables,
)
from handlers.local_handler.attempts import AttemptFolder, Ended, create_file, timestamp
from handlers.local_handler.current_models import CurrentModels
from handlers.local_handler.own import plain
from handlers.local_handler.snapshots import Snapshots
from handlers.local_handler.staging import CURRENT_MODELS
from handlers.local_handler.tools import find_uv
from handlers.local_handler.upkeep import Builds, Places, Upkeep
from handlers.local_handler.warm import LOG, Begun, Templates
from handlers.local_handler.watcher import Watcher
from mlgate.orchestration.backends.keeping import MOST_BYTES
from mlgate.orchestration.backends.launching import launch_task, own_variables
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.clock import Clock, SystemClock
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles, Checkout, Registration
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunSpec, Task

_logger = logging.getLogger(__name__)

CLAIM_SECONDS = 30.0  # a supervisor that has not claimed its attempt by then never may

_FOLDERS = (
    "attempts", CURRENT_MODELS, "environments", "kept", "launchers", "places", "snapshots",
)  # a row a line # fmt: skip
_SOURCES = Path(__file__).resolve().parents[2]
_LOST = "The run's supervisor ended without an outcome: it was killed, or the machine restarted."
_NEVER = f"The run's supervisor did not begin within {CLAIM_SECONDS:g} seconds."
_UNKNOWN = "This machine has no record of the run, or no longer has one."


class LocalHandler:
    """Implements BackendPort with processes of this machine; everything is kept under `home`.

    `parallel` is how many runs all workers that share `home` execute at once. `python` executes
    runs that ask for no environment; the environment of others must be ready within
    `environment_seconds`. A run that is ended has `grace_seconds` to keep its results, of which up
    to `most_bytes` are copied. `on_ended` is called from another thread when an attempt ends; it is
    only a hint. `steady` is a clock in seconds that all processes of this machine share. `begun` is
    a template that was started earlier. `launcher` replaces ours in tests.
    """

    def __init__(
        self,
        *,
        home: Path,
        parallel: int,
        python: Path = Path(sys.executable),
        launcher: Path | None = None,
        on_ended: Callable[[Attempt], None] | None = None,
        clock: Clock | None = None,
        steady: Callable[[], float] = time.monotonic,
        grace_seconds: float = 10.0,
        environment_seconds: float = 30 * 60.0,
        most_bytes: int = MOST_BYTES,
        begun: Begun | None = None,
    ) -> None:
        self._home = plain(home.absolute())
        self._attempts = self._home / "attempts"
        self._parallel = parallel
        self._most_bytes = most_bytes
        self._clock = clock or SystemClock()
        self._steady = steady
        self._snapshots = Snapshots(self._home / "snapshots")
        self._places = Places(self._home / "places")
        self._builds = Builds(self._home / "kept")
        self._models = CurrentModels(self._home / CURRENT_MODELS)
        staged = (self._snapshots, self._models)
        self._upkeep = Upkeep(self._home, self._places, self._builds, *staged, self._over)
        with self._disk():
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in _FOLDERS:
                (self._home / name).mkdir(mode=0o700, exist_ok=True)
            trees.spread(self._attempts)
            self._own_launcher = launcher is None
            launcher = launcher or tasks.own_launcher(self._home / "launchers")
            create_file(self._home / "host-id", secrets.token_hex(8).encode())
            self._host = (self._home / "host-id").read_bytes().decode("utf-8", "replace")
            self._watcher = Watcher(on_ended)
        self._task_host = tasks.Host(
            python=python,
            uv=find_uv(),
            launcher=launcher,
            parallel=parallel,
            environments=self._home / "environments",
            grace_seconds=grace_seconds,
            environment_seconds=environment_seconds,
        )
        self._templates = Templates(self._task_host, self._home / LOG, begun)
        try:
            self._upkeep.tidy(self._clock.now().timestamp())
        except OSError as error:
            _logger.warning("Old runs in %s could not be removed: %s", self._home, error)

    @property
    def host(self) -> str:
        """A permanent name, made at random when `home` is first used."""
        return self._host

    def prewarm(self) -> None:
        """Prepare a template, so that notebook runs on the host's own Python start sooner."""
        self._templates.prewarm()

    def close(self) -> None:
        self._templates.close()
        self._watcher.close()

    @property
    def at_once(self) -> int:
        """One: nothing here waits for another machine."""
        return 1

    def stage(
        self,
        checkout: Checkout,
        request: RepositoryRequest,
        runs: Sequence[RunSpec],
    ) -> str:
        with self._disk():
            name = self._snapshots.stage(checkout, request)
            if snapshot := self._snapshots.use(name):
                self._templates.expect(snapshot, runs)
            return name

    def stage_model(self, version: str, folder: Path) -> str:
        with self._disk():
            return self._models.stage(version, folder)

    def register(self, made: Registration) -> None:
        """Do nothing: this machine has no list of models besides the store."""

    def submit(self, task: Task) -> bool:
        folder = self._folder(task.attempt)
        with self._disk():
            self._builds.begin(task.attempt.build)
            with self._places.alone():
                if folder.claim() is None and not self._take_place(task, folder):
                    return False
            if folder.claim() is None and not self._watcher.has_supervisor(task.attempt):
                self._start(task, folder)
            self._watcher.watch(task.attempt, folder)
        return True

    def look(self, attempts: Sequence[Attempt]) -> Mapping[Attempt, Observation]:
        with self._disk():
            for build in {attempt.build for attempt in attempts}:
                self._builds.seen(build)
            return {attempt: self._look(attempt) for attempt in attempts}

    def cancel(self, attempts: Iterable[Attempt]) -> None:
        with self._disk():
            for attempt in attempts:
                folder = self._folder(attempt)
                if not folder.exists():
                    self._builds.begin(attempt.build)
                    with self._making(folder) as made:
                        made.describe(tasks.label(attempt))
                        made.ask_to_cancel()
                        if made.take(None):
                            made.end_instead(Ended("canceled", finished_at=timestamp()))
                if not folder.has_ended:
                    folder.ask_to_cancel()
                    if folder.take(None):
                        self._ended(folder)

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        folder = self._folder(task.attempt)
        with self._disk():
            ended = self._ended(folder)
            if ended is None:
                raise Temporary(f"The run {task.spec.name} has not ended.", delay=1.0)
            found = outcomes.outcome(folder, ended)
            if files is None:
                return found
            return collection.collect(folder, task, found, files, self._most_bytes)

    def release(self, build: str) -> None:
        with self._disk():
            self._builds.let_go(build)
            self._upkeep.tidy(self._clock.now().timestamp())

    def _take_place(self, task: Task, folder: AttemptFolder) -> bool:
        """Take a place and make the attempt's folder; false if no place is free."""
        # Marked as used even if no place is free, so that a waiting build keeps what it staged.
        snapshot, version = self._snapshots.use(task.snapshot), task.current_model
        model = None if version is None else self._models.use(version)
        if len(self._places.held(self._over) - {folder.id}) >= self._parallel:
            return False
        if folder.exists():
            self._places.take(folder.id)
            folder.expect(self._steady())
            return True
        if snapshot is None:
            raise _gone(task.snapshot)
        if version is not None and model is None:
            raise _gone(version)
        self._places.take(folder.id)
        with self._making(folder) as made:
            made.launch_file.write_text(json.dumps(launch_task(task.spec)), encoding="utf-8")
            made.expect(self._steady())
            staged = tasks.Staged(snapshot, model)
            made.describe(tasks.for_supervisor(task, self._task_host, staged, self._folder))
        return True

    def _look(self, attempt: Attempt) -> Observation:
        folder = self._folder(attempt)
        ended = self._ended(folder)
        if ended is None:
            self._watcher.watch(attempt, folder)
            return outcomes.observation(folder)
        status = outcomes.outcome(folder, ended).status
        return replace(outcomes.observation(folder), status=status, activity=None)

    def _ended(self, folder: AttemptFolder) -> Ended | None:
        """How an attempt ended; None while a supervisor executes it, or still may.

        If its supervisor is gone without a record, this ends what is left and records the end.
        """
        try:
            return self._ended_of_known(folder)
        except FileNotFoundError:  # released, maybe just now
            return Ended("infrastructure", _UNKNOWN)

    def _ended_of_known(self, folder: AttemptFolder) -> Ended | None:
        claim = folder.claim()
        if claim is None:
            if folder.is_expected(self._steady(), CLAIM_SECONDS) or not folder.take(None):
                return None
        elif claim.alive:
            return None
        if not folder.has_ended:
            # Includes a supervisor that was too late to claim the attempt.
            processes.end_all(lambda: processes.marked(folder.id))
            folder.end_instead(
                Ended(
                    reason="canceled" if folder.cancel_asked else "infrastructure",
                    message=_NEVER if claim is None else _LOST,
                    started_at=folder.state().started_at,
                    finished_at=timestamp(),
                    warnings=folder.warnings,
                )
            )
        return folder.ended()

    def _over(self, attempt: str) -> bool:
        return self._ended(AttemptFolder(self._attempts / attempt)) is not None

    def _folder(self, attempt: Attempt) -> AttemptFolder:
        return AttemptFolder(self._attempts / attempt.id)

    @contextmanager
    def _making(self, folder: AttemptFolder) -> Iterator[AttemptFolder]:
        """An attempt's folder to fill, which appears when complete, unless one exists by then."""
        made = AttemptFolder(trees.new_name(folder.path))
        made.path.mkdir(mode=0o700)
        yield made
        trees.appear(made.path, folder.path)

    def _start(self, task: Task, folder: AttemptFolder) -> None:
        """Start a supervisor, which goes on without this process."""
        own, _ = own_variables(task.spec.environment_variables)
        # Templates can only fork our own launcher.
        warm = self._own_launcher and self._templates.start(task.spec, folder, own)
        if not warm:
            folder.expect(self._steady())  # asking for a fork may have taken long
            self._watcher.adopt(task.attempt, self._spawn(folder))

    def _spawn(self, folder: AttemptFolder) -> int:
        """Start a supervisor as a program; returns its process id."""
        python = sys.executable
        log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            python,
            [python, "-I", "-S", "-c", supervisor.BOOT, str(_SOURCES), str(folder.path)],
            variables.passed_on(os.environ) | {processes.MARK: folder.id},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder.log), log, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        )

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error)[:300]
            problem = f"The folder {self._home} of local runs cannot be used: {why}."
            raise Temporary(problem, delay=30.0) from error


def _gone(staged: str) -> Permanent:
    return Permanent(
        f"The staged files {staged} are no longer on this machine. Publish the message again."
    )
