"""Runs a model in the process that a server uses as well, which answers until it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlgate.launcher.command import Program
from mlgate.launcher.log import Log
from mlgate.launcher.processes import oom_kills
from mlgate.launcher.trying import death
from mlgate.launcher.values import Canceled, Failed, Place, Stopped
from mlgate.scorer import files
from mlgate.scorer.belongings import peak_memory_mb
from mlgate.scorer.child import ASKED, BOOT, FAILED, READY, SAID, SOCKET
from mlgate.scorer.errors import Unusable

_POLL = 0.05  # seconds
_MOST_SAID = 1 << 16  # bytes
_MOST_PATH = 100  # bytes of a socket's path; Linux allows 107 (unix(7))


class Served:
    """A served model. It receives frames at `socket`; `ended` is as in `Process`."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.socket, self.ended = folder / SOCKET, program.ended
        self._program, self._kills = program, oom_kills()

    def memory_mb(self) -> float:
        """Its peak memory; 0 if that is not known."""
        return peak_memory_mb(self._program.pid)

    async def death(self, doing: str) -> Failed:
        """Waits for its end; returns why it ended."""
        code = await self.ended
        return death(
            "serving", {"serving": doing}, code, self._program.tail, oom_kills() > self._kills
        )


@contextlib.asynccontextmanager
async def served(
    asked: Mapping[str, Any], scratch: Path, place: Place, log: Log, stopped: Stopped
) -> AsyncIterator[Served]:
    """A served model that is ready, and ends with the context.

    `asked` is as in `mlgate.scorer.child`. The process gets the environment of `place`. If the
    launcher is killed meanwhile, `scratch` is removed. Raises `Failed` and `Canceled`.
    """
    folder = _folder(scratch)
    (folder / ASKED).write_text(json.dumps(asked), "utf-8")
    root = Path(__file__).parents[2]  # the archive, or the folder of the package
    command = [sys.executable, "-c", BOOT, str(root), str(folder)]
    reading, writing = os.pipe()  # the process ends when its input does
    try:
        own = replace(place, directory=folder)
        both = str(scratch), str(folder)  # the folder need not be in `scratch`
        program = Program(command, own, log, scratch=both, given=reading)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    try:
        found = Served(program, folder)
        await _ready(found, folder, stopped)
        yield found
    finally:
        await program.end(alone=False)
        os.close(writing)
        shutil.rmtree(folder, ignore_errors=True)


async def _ready(found: Served, folder: Path, stopped: Stopped) -> None:
    while (said := _said(folder / SAID)).get("step") != READY:
        if stopped.done():
            raise Canceled
        if said.get("step") == FAILED:
            raise Failed("code", f"the model cannot be served: {said.get('reason')}")
        if found.ended.done():
            raise await found.death("while it was loaded to be served")
        await asyncio.sleep(_POLL)


def _said(path: Path) -> Mapping[str, Any]:
    """What the process reports, which is only a claim."""
    try:
        said = json.loads(files.read_bounded(path, _MOST_SAID) or b"")
    except (OSError, Unusable, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _folder(scratch: Path) -> Path:
    """A folder whose path is short enough for a socket."""
    folder = scratch / "served"
    if len(os.fsencode(folder / SOCKET)) > _MOST_PATH:
        return Path(tempfile.mkdtemp(prefix="mlgate-", dir="/tmp"))
    folder.mkdir()
    return folder
