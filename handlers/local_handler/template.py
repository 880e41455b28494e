"""A process that notebook runs are forked from, with all imported that each of them needs.

Importing Jupyter takes longer than a short notebook does. A template has done it once, for one
interpreter and one set of the runs' own variables; it never executes anything of a run, starts no
thread, and ends when its input does, as it does when the worker is gone, however it went. The runs
go on: a fork leaves the template's session and becomes a supervisor like any other, with a
launcher and a kernel forked from it in turn.

    input      a JSON object per line: {"folder": the attempt's, "environment": its own or null}
    output     "ready" once, then for each request "yes", or "no": it is to be started as a program

Run as `python -c BOOT ROOT` (see `warm`), by the interpreter of the runs' environment, once that
has imported what a kernel does.
"""

from __future__ import annotations

import gc
import importlib
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
from handlers.local_handler.kernels import KernelSeeds
from handlers.local_handler.seeds import Seed, receive, write_to

IDLE_SECONDS = 300.0  # without a request, after which it ends

_CLIENT = ("jupyter_client.asynchronous", "nbclient", "nbformat.v4", "zmq.asyncio")


def main(*of_kernels: Any) -> None:
    """Serve until the input ends, or what is installed is not what was imported any more.

    `of_kernels` is what `KernelSeeds` is made of.
    """
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if not views.possible():
        sys.exit("Here a run needs an environment of its own, which a fork cannot have.")
    installed = _installed()
    kernels = KernelSeeds(*of_kernels)
    for name in _CLIENT:
        importlib.import_module(name)
    launch = importlib.import_module("mlgate.launcher.run").main
    importlib.import_module("mlgate.launcher.page").prepare_rendering()
    sys.path.pop(0)  # the root: the rest is the path of any program
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 -- nothing but their number
        sys.exit("Something that was imported has started a thread, which a fork would miss.")
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()  # else collections in the forks would copy every page
    _answer(1, "ready")
    while (request := _request()) is not None:
        if _installed() != installed:
            return
        if os.fork() == 0:
            _become_supervisor(request, kernels, launch)


def _become_supervisor(request: Mapping[str, Any], kernels: KernelSeeds, launch: Any) -> NoReturn:
    try:
        answers = os.dup(1)
        warm = claimed = None
        try:
            os.setsid()
            os.chdir("/")
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            folder = AttemptFolder(Path(request["folder"]))
            write_to(folder.log)
            warm = _prepare(folder, request["environment"], _launcher(kernels, launch))
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


def _launcher(kernels: KernelSeeds, launch: Any) -> Callable[[int], int]:
    def grow(pipe: int) -> int:
        kernel = kernels.sow()
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
