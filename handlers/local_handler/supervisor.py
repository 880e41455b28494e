"""The process that executes one attempt, whatever becomes of the worker.

It claims the attempt before anything else, so that of any number of supervisors one goes on; makes
the tree and the environment; starts the launcher; ends everything when the time is up, somebody
asked for it, or the launcher is done; and writes how it ended, last. When it is killed itself, the
launcher dies with it and the next look at the attempt ends whatever else is left.

Run as `python -I -S -c BOOT ROOT FOLDER`: without `site`, and found by the path of its sources; or
forked from a template (see `template`), with a launcher that waits to be told what to execute.
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
from handlers.local_handler.attempts import AttemptFolder, Ended, State, timestamp
from handlers.local_handler.children import Children

# Instead of a build's key, for what mlgate uses itself: what is pinned is resolved once.
TOOL = "tool"

BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from handlers.local_handler import supervisor; supervisor.main(sys.argv[2])"
)

_COMPILING = 60.0  # seconds
_ATTENTION = 0.1  # seconds between two looks at whether somebody asked for the end
_TERMINATED = "The run was ended from outside, as a machine that shuts down does."


class Stopped(Exception):
    """The attempt ends early, with this `reason` of `Ended`."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Warm(NamedTuple):
    """What is there already when the supervisor was forked from a template.

    `launch` makes the waiting process `pid` the launcher, as `Children.start` would start it.
    `held` is kept, for it holds the lock that says that the environment is in use. `view` is what
    this process and the launcher see.
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
        # Kept, for they hold the locks that say that environments are in use.
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
        except Exception as error:  # noqa: BLE001 -- whatever it is, the attempt must end
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
        """Run a program that prepares the attempt; its exit code. Stopped: the end was asked for.

        The program's output goes to the environment's log, its environment is this process's own
        with `more`.
        """
        log = self._folder.environment_log
        pid = self._children.start(command, {**os.environ, **more}, directory, log)
        while (code := self._children.wait(pid, _ATTENTION)) is None:
            self.attend()
        return code

    def attend(self, seconds: float = 0.0) -> None:
        """Raise Stopped when the attempt shall end; else return after so many seconds at most."""
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
        """Be stopped, as a failure to make an environment, unless it goes on before then."""
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
        # Only here: most of what it imports is not needed to run with the host's own Python.
        from handlers.local_handler import environments, installing  # noqa: PLC0415 -- as said

        self._folder.say(State(activity="creating environment"))
        limit = float(self._task["environment_seconds"])
        self._within(
            limit,
            f"The environment was not there within {limit / 60:g} minutes: log.txt shows what was "
            "done. An index, a git server or a build may not answer.",
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
        """An environment of the attempt's own, where it has no view of the one it shares."""

        def does(command: Sequence[str], more: Mapping[str, str]) -> bool:
            return self.execute(command, self._folder.path, more) == 0

        made = own.environment(self._folder, python, does)
        if made is None:
            raise Stopped("infrastructure", "No environment of the run's own could be made.")
        return made

    def _keep_bytecode(self) -> None:
        """Compile for the next runs what this one had to: what it wrote itself is not for them."""
        if self._view is None or not self._task["plan"]:
            return
        sources = self._view.compiled(Path(self._task["environments"]))
        if not sources:
            return
        listed = self._folder.path / "sources.txt"
        listed.write_text("".join(f"{source}\n" for source in sources))
        command = [str(self._python), "-m", "compileall", "-q", "-i", str(listed)]
        try:
            self._view.leave()
            self._within(_COMPILING)
            self.execute(command, self._folder.path, {})
        except (OSError, Stopped):  # the next one compiles them, too
            self._children.end_all(self._folder.id)

    def _launch(self, python: Path) -> _Launched:
        folder = self._folder
        arguments = ["--task", str(folder.launch_file), "--root", str(folder.tree)]
        arguments += ["--output", str(folder.output), "--events", str(folder.events)]
        if self._locust is not None:
            arguments += ["--locust", str(self._locust)]
        found = own.launched(folder, python, viewed=self._view is not None)
        processes.be_readable(False)  # it has credentials of indexes among its variables
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
        """Let the launcher keep what there is, then end it; returns its exit code."""
        processes.send(pid, signal.SIGTERM)
        code = self._children.wait(pid, float(self._task["grace_seconds"]))
        if code is None:
            processes.send(pid, signal.SIGKILL)
            code = self._children.wait(pid, 1.0)
        return code

    def _terminate(self, *_: object) -> None:
        self._terminated = True


def main(path: str) -> None:
    """Execute the attempt whose folder is at `path`, unless somebody else does or did."""
    os.chdir("/")
    os.closerange(3, 256)  # whatever the worker's libraries left open
    folder = AttemptFolder(Path(path))
    if claim(folder):
        execute(folder)


def claim(folder: AttemptFolder) -> bool:
    """Claim the attempt for this process; false when it is somebody else's, or gone."""
    who = processes.identity(os.getpid())
    assert who is not None
    return folder.exists() and folder.take(who)


def execute(folder: AttemptFolder, warm: Warm | None = None) -> NoReturn:
    """Execute the attempt that this process has claimed."""
    processes.adopt_orphans()
    Supervisor(folder, Children(), warm).run()
    os._exit(0)  # at once: whoever sees the end recorded may look for what is left


def _memory_kills() -> int:
    """How many processes the kernel killed for want of memory since the machine started."""
    try:
        counters = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in counters if line.startswith("oom_kill "))
