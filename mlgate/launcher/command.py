"""One command, from its start to its end."""

from __future__ import annotations

import asyncio
import collections
import shutil
import signal
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


async def run_command(
    arguments: Sequence[str], place: Place, log: Log, stopped: Stopped, scratch: str = ""
) -> tuple[int, str]:
    """The exit code and the last output of a command that is logged as it runs; or `Canceled`.

    `scratch` is a folder that is removed where the launcher is killed meanwhile.
    """
    pieces: collections.deque[str] = collections.deque()
    kept = 0

    def keep(text: str) -> None:
        nonlocal kept
        pieces.append(text)
        kept += len(text)
        while kept - len(pieces[0]) >= TAIL_CHARACTERS:
            kept -= len(pieces.popleft())

    pipe = Pipe(log, keep)
    child = start_program(arguments, place.directory, place.environment, pipe.writing)
    process = Process(child, scratch)
    ends: set[asyncio.Future[Any]] = {process.ended, stopped}
    await asyncio.wait(ends, return_when=FIRST)
    if stopped.done() and not process.ended.done():
        process.signal(signal.SIGTERM)
        await asyncio.wait({process.ended}, timeout=INTERRUPT_SECONDS)
    code = await process.kill()
    kill_children()
    await pipe.end()
    if stopped.done():
        raise Canceled
    return code, plain("".join(pieces)[-TAIL_CHARACTERS:])


async def run_training(task: Task, place: Place, log: Log, stopped: Stopped) -> None:
    """Raises `Failed` or `Canceled`."""
    shell = shutil.which("bash")
    if not shell:
        raise Failed("environment", "a command runs under bash: add it to the environment")
    log.event("started", cells_total=None, at=now())
    kills = oom_kills()
    # A training that fails must not pass because what it is piped to did not.
    command = [shell, "-o", "pipefail", "-c", task.command]
    code, tail = await run_command(command, place, log, stopped)
    if code:
        raise command_failure(code, tail, oom_kills() > kills, Origins(place))
