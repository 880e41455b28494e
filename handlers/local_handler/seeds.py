"""Forks processes before their work is known, and sends it to them later.

A fork copies locks and event loops of its parent, but not the threads that hold or run them. So a
seed is forked while its parent has none of these, and waits. It leads a session of its own, has no
open file but the pipe that its work arrives on, and cannot outlive its parent.
"""

from __future__ import annotations

import json
import os
import site
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handlers.local_handler import processes

_FAULT = 70  # EX_SOFTWARE of sysexits.h: an exit code that neither launcher nor kernel uses


class Seed:
    """A child of this process that waits for its work.

    `grow` is called in the child, with the pipe to `receive` from.
    """

    def __init__(self, grow: Callable[[int], int]) -> None:
        parent = os.getpid()
        pipe, self._work = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = _FAULT
            try:
                processes.end_with_parent(parent)
                os.setsid()
                os.closerange(3, pipe)
                os.closerange(pipe + 1, 1 << 16)
                code = grow(pipe)
            except BaseException:  # noqa: BLE001 -- nothing may escape the forked process
                traceback.print_exc()
            finally:
                flush()
                os._exit(code)
        os.close(pipe)

    def start(
        self, arguments: Sequence[str], variables: Mapping[str, str], directory: Path, log: Path
    ) -> None:
        """Send it, once, what a program would be started with. Raises OSError if it is gone."""
        work = [list(arguments), dict(variables), str(directory), str(log)]
        with os.fdopen(self._work, "wb") as pipe:
            pipe.write(json.dumps(work).encode())

    def wait(self) -> int:
        """Wait for its end; returns its exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def receive(pipe: int) -> list[str]:
    """Wait for this seed's work and return its arguments; variables, folder and log are set up.

    Exits here if its parent is gone.
    """
    with os.fdopen(pipe, "rb") as work:
        content = work.read()
    if not content:
        os._exit(0)
    arguments: list[Any]
    arguments, variables, directory, log = json.loads(content)
    os.environ.clear()
    os.environ.update(variables)
    site.USER_BASE = site.USER_SITE = None  # read PYTHONUSERBASE again
    site.getusersitepackages()
    os.chdir(directory)
    write_to(Path(log))
    return list(map(str, arguments))


def write_to(log: Path) -> None:
    """Append this process's output to a file, and give it an empty input."""
    flush()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(nothing)


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # its reader is gone
            continue
