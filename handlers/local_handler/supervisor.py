"""The process that executes one attempt, independent of the worker.

It first claims the attempt, so that only one of any number of supervisors continues. Then it makes
the tree and the environment and starts the launcher. It ends everything when the launcher is done,
the time is up or the attempt is canceled, and last writes how it ended. If it is killed itself, the
launcher dies with it, and the next look at the attempt ends whatever is left.

Started as `python -I -S -c BOOT ROOT FOLDER`, without `site`, so ROOT leads to its sources; or
forked from a template (see `template`), with a launcher that waits for what to execute.
"""

from __future__ import annotations

import math
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from handlers.local_handler import own, processes, trees, views
from handlers.local_handler.attempts import AttemptFolder, Ended, State, replace_file, timestamp
from handlers.local_handler.children import Children

# Used as the build's key for mlgate's own tools: their pinned versions are resolved only once.
TOOL = "tool"

BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from handlers.local_handler import supervisor; supervisor.main(sys.argv[2])"
)

_COMPILING = 60.0  # seconds
_ATTENTION = 0.1  # seconds between two checks for a request to cancel
_TERMINATED = "The run was ended from outside, for example because the machine shut down."


class Stopped(Exception):
    """The attempt ends early; `reason` is as in `Ended`."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Warm(NamedTuple):
    """What already exists when the supervisor was forked from a template.

    `launch` turns the waiting process `pid` into the launcher, as `Children.start` would start it.
    `held` holds the lock that marks the environment as in use. `view` is the view of this process
    and the launcher.
    """

    python: Path
    warnings: list[str]
    pid: int
    launch: Callable[[Sequence[str], Mapping[str, str], Path, Path], None]
    held: object
    view: views.View


class _Launched(NamedTuple):
    exit_code: int | None
    stopped: Stopped | None


class Supervisor:
    """One attempt, from its claim to its end."""

    def __init__(self, folder: AttemptFolder, children: Children, warm: Warm | None) -> None:
        self._folder = folder
        self._children = children
        self._warm = warm
        self._task = folder.task()
        self._terminated = False
        self._within(math.inf)
        self._view = warm.view if warm else None
        self._locust: Path | None = None
        # Kept because they hold the locks that mark environments as in use.
        self._shelves: list[Any] = []
        self._warnings = [*folder.warnings]
        self._memory_kills = _memory_kills()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._terminate)

    def run(self) -> None:
        started_at: str | None = None
        launched = _Launched(None, None)
        try:
            self._python = python = self._prepare()
            started_at = timestamp()
            self._folder.say(State(started_at=started_at))
            launched = self._launch(python)
        except Stopped as stopped:
            launched = _Launched(None, stopped)
        except Exception as error:  # noqa: BLE001 -- the attempt must end in any case
            traceback.print_exc()
            message = f"The run could not be executed: {error!r}."
            launched = _Launched(None, Stopped("infrastructure", message))
        finished_at = timestamp()
        if not self._children.end_all(self._folder.id):
            self._warnings.append("A process of the run could not be ended.")
        elif not launched.stopped:
            self._keep_bytecode()
        self._folder.end(
            Ended(
                reason=launched.stopped.reason if launched.stopped else None,
                message=launched.stopped.message if launched.stopped else "",
                exit_code=launched.exit_code,
                started_at=started_at,
                finished_at=finished_at,
                memory_kills=_memory_kills() - self._memory_kills,
                warnings=tuple(self._warnings),
            )
        )

    def execute(self, command: Sequence[str], directory: Path, more: Mapping[str, str]) -> int:
        """Run a program that prepares the attempt; returns its exit code.

        The program's output goes to the environment's log. Its variables are those of this process
        and `more`. Raises Stopped if the attempt must end.
        """
        log = self._folder.environment_log
        pid = self._children.start(command, {**os.environ, **more}, directory, log)
        while (code := self._children.wait(pid, _ATTENTION)) is None:
            self.attend()
        return code

    def attend(self, seconds: float = 0.0) -> None:
        """Raise Stopped if the attempt must end; else wait up to `seconds`."""
        if stopped := self._stopped():
            raise stopped
        if seconds:
            self._children.pause(seconds)

    def _stopped(self) -> Stopped | None:
        if self._terminated:
            return Stopped("infrastructure", _TERMINATED)
        if self._folder.cancel_asked:
            return Stopped("canceled")
        return self._late if time.monotonic() > self._until else None

    def _within(self, seconds: float, message: str = "") -> None:
        """From now on, stop after `seconds` with a failure of kind `environment` and `message`."""
        self._until = time.monotonic() + seconds
        self._late = Stopped("environment", message)

    def _prepare(self) -> Path:
        """Make the tree and the environment; returns the interpreter."""
        self.attend()
        if failure := self._task["failure"]:
            raise Stopped(failure["kind"], failure["message"])
        self._folder.say(State(activity="copying files"))
        trees.copy_tree(Path(self._task["snapshot"]), self._folder.tree)
        self._folder.output.mkdir(exist_ok=True)
        self._folder.kept.mkdir()
        python = Path(self._task["python"])
        if self._warm:
            python = self._warm.python
            self._warnings += self._warm.warnings
        else:
            if plan := self._task["plan"]:
                python = self._environment(plan, self._task["attempt"]["build"])
            if plan := self._task.get("locust"):
                self._locust = self._environment(plan, TOOL, "locust could not be installed: ")
            self._view = own.view(self._folder, python, self._locust)
            if self._view is None:
                python = self._venv(python)
        self.attend()
        return python

    def _environment(self, plan: Mapping[str, Any], build: str, what: str = "") -> Path:
        # Imported here: runs with the host's own Python don't need most of these modules.
        from handlers.local_handler import environments, installing  # noqa: PLC0415 -- see above

        self._folder.say(State(activity="creating environment"))
        limit = float(self._task["environment_seconds"])
        self._within(
            limit,
            f"The environment was not ready within {limit / 60:g} minutes. log.txt shows how far "
            "it came: an index, a git server or the build of a package may hang.",
        )
        task, log = self._task, self._folder.environment_log
        asked = environments.Asked(plan, task["python"], Path(task["snapshot"]))
        root = Path(task["environments"])
        shelf = environments.Shelf(root, build, self, guarded=views.possible())
        installer = installing.Installer(task["uv"], self, log, *asked)
        try:
            python, warnings = shelf.take(asked, installer, self._folder.path / "resolving")
        except installing.EnvironmentFailure as failure:
            raise Stopped(failure.kind, f"{what}{failure}") from failure
        self._shelves.append(shelf)
        self._within(math.inf)
        self._warnings += warnings
        return python

    def _venv(self, python: Path) -> Path:
        """Make the attempt's own environment, if it has no view of the shared one."""

        def does(command: Sequence[str], more: Mapping[str, str]) -> bool:
            return self.execute(command, self._folder.path, more) == 0

        made = own.environment(self._folder, python, does)
        if made is None:
            raise Stopped("infrastructure", "The run's own environment could not be made.")
        return made

    def _keep_bytecode(self) -> None:
        """Compile, where runs share them, the sources that this run had to compile.

        The bytecode that the run wrote is not used: the run could have put anything there. Nor is
        its code executed, though it may write to this folder, hence `-I -S`.
        """
        if self._view is None:
            return
        sources = self._view.compiled()
        if not sources:
            return
        listed = self._folder.path / "sources.txt"
        command = [str(self._python), "-I", "-S", "-m", "compileall", "-q", "-i", str(listed)]
        try:
            self._view.leave()
            found = [each for each in sources if each.is_file() and os.access(each.parent, os.W_OK)]
            if not found:  # an empty list means all of `sys.path`
                return
            replace_file(listed, "".join(f"{source}\n" for source in found).encode())
            self._within(_COMPILING)
            self.execute(command, self._folder.path, {})
        except (OSError, Stopped):  # the next run compiles them instead
            self._children.end_all(self._folder.id)

    def _launch(self, python: Path) -> _Launched:
        folder = self._folder
        arguments = ["--task", str(folder.launch_file), "--root", str(folder.tree)]
        arguments += ["--output", str(folder.output), "--events", str(folder.events)]
        if self._locust is not None:
            arguments += ["--locust", str(self._locust)]
        found = own.launched(folder, python, viewed=self._view is not None)
        processes.be_readable(False)  # its variables have credentials of package indexes
        if self._warm:
            pid = self._children.adopt(self._warm.pid)
            self._warm.launch(arguments, found, folder.tree, folder.log)
        else:
            command = [str(python), self._task["launcher"], *arguments]
            pid = self._children.start(command, found, folder.tree, folder.log)
        limit = float(self._task["limit_seconds"])
        until = time.monotonic() + limit
        while True:
            left = until - time.monotonic()
            code = self._children.wait(pid, max(0.0, min(_ATTENTION, left)))
            if code is not None:
                return _Launched(code, None)
            stopped = self._stopped()
            if stopped is None and left <= 0:
                message = f"The run exceeded its limit of {limit / 60:g} minutes."
                stopped = Stopped("timeout", message)
            if stopped is not None:
                return _Launched(self._stop(pid), stopped)

    def _stop(self, pid: int) -> int | None:
        """Give the launcher time to keep its results, then end it; returns its exit code."""
        processes.send(pid, signal.SIGTERM)
        code = self._children.wait(pid, float(self._task["grace_seconds"]))
        if code is None:
            processes.send(pid, signal.SIGKILL)
            code = self._children.wait(pid, 1.0)
        return code

    def _terminate(self, *_: object) -> None:
        self._terminated = True


def main(path: str) -> None:
    """Execute the attempt whose folder is at `path`, unless it is claimed already."""
    os.chdir("/")
    os.closerange(3, 256)  # whatever the worker's libraries left open
    folder = AttemptFolder(Path(path))
    if claim(folder):
        execute(folder)


def claim(folder: AttemptFolder) -> bool:
    """Claim the attempt for this process; false if it is claimed already, or gone."""
    who = processes.identity(os.getpid())
    assert who is not None
    return folder.exists() and folder.take(who)


def execute(folder: AttemptFolder, warm: Warm | None = None) -> NoReturn:
    """Execute the attempt that this process has claimed."""
    processes.adopt_orphans()
    Supervisor(folder, Children(), warm).run()
    os._exit(0)  # at once: once the end is recorded, remaining processes of the run may be sought


def _memory_kills() -> int:
    """How many processes the kernel killed since boot because memory ran out."""
    try:
        counters = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in counters if line.startswith("oom_kill "))
