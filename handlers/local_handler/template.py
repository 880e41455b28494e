"""A process that has imported all that runs need, and forks them.

Importing Jupyter takes longer than a short notebook, and starting two interpreters longer than a
short command. A template does that once, for one interpreter, one set of the runs' own variables,
and notebooks or commands. It never executes code of a run and starts no thread. It ends when its
input does, and so with the worker, even one that was killed. The runs go on: a fork leaves the
template's session and becomes a supervisor like any other, with a launcher and, for a notebook, a
kernel forked from it in turn.

    input      a JSON object per line: {"folder": the attempt's, "environment": its own or null,
               "imports": names that its notebook imports first, as others do (see `branches`),
               "until": when to stop importing them for it, on the clock of all processes}
    output     "ready" once; then for each request "yes", or "no" if it must start as a program

Run as `python -c BOOT ROOT LOG` (see `warm`) by the interpreter of the runs' environment; for
notebooks, after it has imported what a kernel does.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from handlers.local_handler import environments, own, processes, supervisor, views
from handlers.local_handler.attempts import AttemptFolder
from handlers.local_handler.branches import Branched, Branches
from handlers.local_handler.kernels import KernelSeed, KernelSeeds
from handlers.local_handler.seeds import Seed, receive, write_to

IDLE_SECONDS = 300.0  # a template ends after that time without a request
# A template that is not asked at once imports what renders pages, which takes half a second.
# Another does so before this request: the first runs do that themselves while their cells are
# executed, and most builds have no more runs.
RENDERS = 3
_AT_ONCE = 0.01  # seconds

_CLIENT = ("jupyter_client.asynchronous", "nbclient", "nbformat.v4", "zmq.asyncio")


def main(*of_kernels: Any) -> None:
    """Fork notebook runs until the input ends or the installed packages change.

    `of_kernels` are the arguments of `KernelSeeds`.
    """
    installed = _begin()
    kernels = KernelSeeds(*of_kernels)
    for name in _CLIENT:
        importlib.import_module(name)
    launch = importlib.import_module("mlgate.launcher.run").main
    prepare_rendering = importlib.import_module("mlgate.launcher.page").prepare_rendering
    launcher, branches = _launcher(kernels.sow, launch), Branches(kernels)
    sys.path.pop(0)  # mlgate's root; what is left is the path of any program
    serving = True
    while serving:
        try:
            _serve(installed, launcher, prepare_rendering, branches)
            serving = False
        except Branched:  # this process serves as well, and no deeper in the stack
            continue


def commands() -> None:
    """Like `main`, for runs of commands."""
    installed = _begin()
    launch = importlib.import_module("mlgate.launcher.run").main
    sys.path.pop(0)  # as above
    _serve(installed, _launcher(lambda: None, launch))


def _begin() -> list[tuple[str, int]]:
    """Reset signals as for a new program; returns what is installed."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if not views.possible():
        sys.exit("Runs need their own environment on this system, so they cannot be forked.")
    for folder in _packages():
        with suppress(OSError):  # else the first bytecode there would look like an installation
            (folder / "__pycache__").mkdir(exist_ok=True)
    return _installed()


def _serve(
    installed: list[tuple[str, int]],
    launcher: Callable[[int], int],
    prepare: Callable[[], Iterable[None]] = tuple,
    branches: Branches | None = None,
) -> None:
    """Answer requests; `prepare` is called if none comes at once, else before number `RENDERS`."""
    signal.signal(signal.SIGCHLD, _reap)
    _settle()
    _answer(1, "ready")
    _prepare_until_asked(prepare)
    nth = 0
    while True:
        line = _request()
        if line is None or _installed() != installed:
            return
        request = json.loads(line)
        _write_to_log()
        if branches and (answer := _passed_on(branches, request)):
            os.write(1, answer)
            continue
        nth += 1
        if nth == RENDERS:
            list(prepare())
            _settle()
        if os.fork() == 0:
            if branches:
                branches.leave()
            _become_supervisor(request, launcher)


@functools.cache  # once, also for the branches
def _write_to_log() -> None:
    """Write to the log in the home: it may not have existed when this process was started."""
    with suppress(OSError):
        log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 2)
        os.close(log)


def _prepare_until_asked(prepare: Callable[[], Iterable[None]]) -> None:
    """Prepare step by step while no request comes."""
    steps, seconds = iter(prepare()), _AT_ONCE
    while not select.select([0], [], [], seconds)[0]:
        seconds = 0.0
        try:
            next(steps)
        except StopIteration:
            break
    _settle()


def _settle() -> None:
    """Prepare for forking: forks share the memory of what was imported."""
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 -- only their number is needed
        sys.exit("An imported module started a thread, which forks would not have.")
    if not gc.get_freeze_count():  # a branch shares what its template has collected
        gc.collect()
    gc.freeze()  # else garbage collection in the forks would copy every page


def _become_supervisor(request: Mapping[str, Any], launcher: Callable[[int], int]) -> NoReturn:
    try:
        answers = os.dup(1)
        warm = claimed = None
        try:
            os.setsid()
            os.chdir("/")
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            folder = AttemptFolder(Path(request["folder"]))
            write_to(folder.log)
            warm = _prepare(folder, request["environment"], launcher)
            claimed = warm is not None and supervisor.claim(folder)
        finally:
            _answer(answers, "yes" if warm else "no")
            os.close(answers)
        if claimed:
            supervisor.execute(folder, warm)
    except BaseException:  # noqa: BLE001 -- nothing may escape the forked process
        traceback.print_exc()
    finally:
        os._exit(0)


def _prepare(
    folder: AttemptFolder, environment: str | None, launcher: Callable[[int], int]
) -> supervisor.Warm | None:
    """Prepare this fork; None if it would differ from a supervisor started as a program."""
    held = environments.hold(Path(environment)) if environment else None
    if (environment and held is None) or not processes.mark(folder.id):
        return None
    view = own.view(folder, Path(sys.executable))
    if view is None:
        return None
    launch = Seed(launcher)
    warnings = held.warnings if held else []
    return supervisor.Warm(Path(sys.executable), warnings, launch.pid, launch.start, held, view)


def _launcher(sow: Callable[[], KernelSeed | None], launch: Any) -> Callable[[int], int]:
    def grow(pipe: int) -> int:
        kernel = sow()
        code: int = launch(receive(pipe), kernel)
        return code

    return grow


def _passed_on(branches: Branches, request: Mapping[str, Any]) -> bytes | None:
    """The answer of a branch, if one can answer."""
    if not request["imports"]:
        return None
    try:
        folder = AttemptFolder(Path(request["folder"]))
        found = own.launched(folder, Path(sys.executable), viewed=True)
        of_kernel = importlib.import_module("mlgate.launcher.run").variables_of_runs(found)
        return branches.pass_on(request, of_kernel)
    except Exception:  # noqa: BLE001 -- the run is then forked from here
        traceback.print_exc()
        return None


def _installed() -> list[tuple[str, int]]:
    """A value that changes whenever a package is installed, removed or replaced."""
    return [(str(folder), folder.stat().st_mtime_ns) for folder in _packages()]


def _packages() -> list[Path]:
    names = ("site-packages", "dist-packages")
    return [folder for folder in map(Path, sys.path) if folder.name in names and folder.is_dir()]


def _reap(*_: object) -> None:
    """Reap the forks that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # no forks are left
        return


def _request() -> bytes | None:
    """The next request, a line; None if the input ended, or none came within `IDLE_SECONDS`."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([0], [], [], IDLE_SECONDS)[0]:
            return None
        part = os.read(0, 1 << 16)
        if not part:
            return None
        line += part
    return line


def _answer(output: int, word: str) -> None:
    with suppress(BrokenPipeError):  # the worker is gone; the run goes on without it
        os.write(output, f"{word}\n".encode())
