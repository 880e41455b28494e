"""Runs one command, from its start to its end."""

from __future__ import annotations

import asyncio
import collections
import errno
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from mlgate.launcher.exits import command_failure
from mlgate.launcher.log import Log, Pipe
from mlgate.launcher.origins import Origins
from mlgate.launcher.processes import (
    FIRST,
    INTERRUPT_SECONDS,
    Process,
    kill_children,
    oom_kills,
    start_program,
)
from mlgate.launcher.records import now
from mlgate.launcher.text import plain
from mlgate.launcher.values import Canceled, Failed, Place, Stopped, Task

TAIL_CHARACTERS = 65_536  # of a command's output, searched for a traceback


class Program:
    """A program in a session of its own, whose output is logged as it arrives.

    `ended` is as in `Process`. The `scratch` folders are removed if the launcher is killed
    meanwhile. `given` is the descriptor of its standard input.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        place: Place,
        log: Log,
        *,
        scratch: tuple[str, ...] = (),
        given: int = subprocess.DEVNULL,
    ) -> None:
        self._pieces: collections.deque[str] = collections.deque()
        self._kept = 0
        self._pipe = Pipe(log, self._keep)
        out = self._pipe.writing
        child = start_program(arguments, place.directory, place.environment, out, given)
        self._process = Process(child, *scratch)
        self.pid, self.ended = child.pid, self._process.ended

    @property
    def tail(self) -> str:
        """The end of its output."""
        return plain("".join(self._pieces)[-TAIL_CHARACTERS:])

    @property
    def last(self) -> str:
        """The last line of its output."""
        lines = (line.strip() for line in reversed(self.tail.splitlines()))
        return next(filter(None, lines), "it printed nothing")

    async def interrupt(self) -> None:
        """Asks it to end, and waits a moment for that."""
        self._process.signal(signal.SIGTERM)
        await asyncio.wait({self.ended}, timeout=INTERRUPT_SECONDS)

    async def end(self, *, alone: bool) -> int:
        """Ends it and its group; returns its exit code.

        `alone`: no other program is running, so all processes that it left behind are ended too.
        """
        code = await self._process.kill()
        if alone:
            kill_children()
        await self._pipe.end()
        return code

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        self._kept += len(text)
        while self._kept - len(self._pieces[0]) >= TAIL_CHARACTERS:
            self._kept -= len(self._pieces.popleft())


async def run_command(
    arguments: Sequence[str],
    place: Place,
    log: Log,
    stopped: Stopped,
    scratch: tuple[str, ...] = (),
) -> tuple[int, str]:
    """Runs a command and logs its output; returns its exit code and the end of its output.

    `scratch` is as in `Program`. Raises `Canceled`.
    """
    program = Program(arguments, place, log, scratch=scratch)
    ends: set[asyncio.Future[Any]] = {program.ended, stopped}
    await asyncio.wait(ends, return_when=FIRST)
    if stopped.done() and not program.ended.done():
        await program.interrupt()
    code = await program.end(alone=True)
    if stopped.done():
        raise Canceled
    return code, program.tail


async def run_training(task: Task, place: Place, log: Log, stopped: Stopped) -> None:
    """Raises `Failed` or `Canceled`."""
    shell = shutil.which("bash")
    if not shell:
        raise Failed("environment", "a command runs under bash: add it to the environment")
    log.event("started", cells_total=None, at=now())
    kills = oom_kills()
    # With pipefail, a training that fails does not pass because the end of its pipe succeeded.
    command = [shell, "-o", "pipefail", "-c", task.command]
    try:
        code, tail = await run_command(command, place, log, stopped)
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise Failed(
            "invalid",
            "the command or a variable is too long for the system, which takes 128 KiB of each: "
            "put it into a file of the repository",
        ) from None
    if code:
        raise command_failure(code, tail, oom_kills() > kills, Origins(place))
