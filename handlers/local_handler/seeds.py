"""Processes forked before it is known what they shall do, and told so when it is.

A fork copies what its parent has at that moment: threads it would miss, locks they hold, an event
loop. So a seed is forked while its parent has none of them, and waits. It leads a session of its
own, has no open file but the pipe on which it is told, and cannot outlive its parent.
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

_FAULT = 70  # EX_SOFTWARE of sysexits.h: an exit code that no launcher and no kernel has


class Seed:
    """A child of this process. `grow` is called in it, with the pipe to `receive` from."""

    def __init__(self, grow: Callable[[int], int]) -> None:
        parent = os.getpid()
        pipe, self._told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = _FAULT
            try:
                processes.end_with_parent(parent)
                os.setsid()
                os.closerange(3, pipe)
                os.closerange(pipe + 1, 1 << 16)
                code = grow(pipe)
            except BaseException:  # noqa: BLE001 -- nothing may leave the forked process
                traceback.print_exc()
            finally:
                flush()
                os._exit(code)
        os.close(pipe)

    def start(
        self, arguments: Sequence[str], variables: Mapping[str, str], directory: Path, log: Path
    ) -> None:
        """Tell it, once, what a program would be started with; OSError when it is gone."""
        told = [list(arguments), dict(variables), str(directory), str(log)]
        with os.fdopen(self._told, "wb") as pipe:
            pipe.write(json.dumps(told).encode())

    def wait(self) -> int:
        """Its exit code, negative for a signal, once it has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def receive(pipe: int) -> list[str]:
    """The arguments that this seed is told, once it has the rest that a program starts with.

    It ends here when its parent has let go of it.
    """
    with os.fdopen(pipe, "rb") as told:
        content = told.read()
    if not content:
        os._exit(0)
    arguments: list[Any]
    arguments, variables, directory, log = json.loads(content)
    os.environ.clear()
    os.environ.update(variables)
    site.USER_BASE = site.USER_SITE = None  # which PYTHONUSERBASE says
    site.getusersitepackages()
    os.chdir(directory)
    write_to(Path(log))
    return list(map(str, arguments))


def write_to(log: Path) -> None:
    """Append to a file what this process prints, and let it read nothing."""
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
        except (OSError, ValueError):  # nobody reads it any more
            continue
