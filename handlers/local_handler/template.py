"""A process that runs are forked from, with all imported that each of them needs.

Importing Jupyter takes longer than a short notebook does, and starting two interpreters longer than
a short command. A template has done it once, for one interpreter, one set of the runs' own
variables, and notebooks or commands; it never executes anything of a run, starts no
thread, and ends when its input does, as it does when the worker is gone, however it went. The runs
go on: a fork leaves the template's session and becomes a supervisor like any other, with a
launcher and, for a notebook, a kernel forked from it in turn.

    input      a JSON object per line: {"folder": the attempt's, "environment": its own or null}
    output     "ready" once, then for each request "yes", or "no": it is to be started as a program

Run as `python -c BOOT ROOT` (see `warm`), by the interpreter of the runs' environment; for
notebooks once that has imported what a kernel does.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from handlers.local_handler import environments, own, processes, supervisor, views
from handlers.local_handler.attempts import AttemptFolder
from handlers.local_handler.kernels import KernelSeed, KernelSeeds
from handlers.local_handler.seeds import Seed, receive, write_to

IDLE_SECONDS = 300.0  # without a request, after which it ends
# The request before which it imports what renders pages, for half a second. The first ones do that
# themselves while their cells are executed, and in most builds there are no more.
RENDERS = 3

_CLIENT = ("jupyter_client.asynchronous", "nbclient", "nbformat.v4", "zmq.asyncio")


def main(*of_kernels: Any) -> None:
    """Fork notebook runs until the input ends, or what is installed is not what was imported.

    `of_kernels` is what `KernelSeeds` is made of.
    """
    installed = _begin()
    kernels = KernelSeeds(*of_kernels)
    for name in _CLIENT:
        importlib.import_module(name)
    launch = importlib.import_module("mlgate.launcher.run").main
    prepare_rendering = importlib.import_module("mlgate.launcher.page").prepare_rendering
    _serve(installed, _launcher(kernels.sow, launch), prepare_rendering)


def commands() -> None:
    """Fork runs of commands likewise."""
    installed = _begin()
    launch = importlib.import_module("mlgate.launcher.run").main
    _serve(installed, _launcher(lambda: None, launch), lambda: None)


def _begin() -> list[tuple[str, int]]:
    """Begin as a program would; returns what is installed."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if not views.possible():
        sys.exit("Here a run needs an environment of its own, which a fork cannot have.")
    return _installed()


def _serve(
    installed: list[tuple[str, int]],
    launcher: Callable[[int], int],
    prepare: Callable[[], None],
) -> None:
    """Answer requests; `prepare` is called once there are many."""
    sys.path.pop(0)  # the root: the rest is the path of any program
    signal.signal(signal.SIGCHLD, _reap)
    _settle()
    _answer(1, "ready")
    for nth in itertools.count(1):
        request = _request()
        if request is None or _installed() != installed:
            return
        if nth == RENDERS:
            prepare()
            _settle()
        if os.fork() == 0:
            _become_supervisor(request, launcher)


def _settle() -> None:
    """Have all that was imported shared with the forks."""
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 -- nothing but their number
        sys.exit("Something that was imported has started a thread, which a fork would miss.")
    gc.collect()
    gc.freeze()  # else collections in the forks would copy every page


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
    except BaseException:  # noqa: BLE001 -- nothing may leave the forked process
        traceback.print_exc()
    finally:
        os._exit(0)


def _prepare(
    folder: AttemptFolder, environment: str | None, launcher: Callable[[int], int]
) -> supervisor.Warm | None:
    """None where this process cannot be what a supervisor started as a program would be."""
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


def _installed() -> list[tuple[str, int]]:
    """What changes whenever a package is installed, removed or replaced."""
    names = ("site-packages", "dist-packages")
    folders = [folder for folder in map(Path, sys.path) if folder.name in names]
    return [(str(folder), folder.stat().st_mtime_ns) for folder in folders if folder.is_dir()]


def _reap(*_: object) -> None:
    """Let go of the forks that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # that was the last one
        return


def _request() -> Any:
    """The next one; None when there will be none, or was none for long."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([0], [], [], IDLE_SECONDS)[0]:
            return None
        part = os.read(0, 1 << 16)
        if not part:
            return None
        line += part
    return json.loads(line)


def _answer(output: int, word: str) -> None:
    with suppress(BrokenPipeError):  # the worker is gone, and a run goes on without it
        os.write(output, f"{word}\n".encode())
