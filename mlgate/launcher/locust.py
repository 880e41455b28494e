"""Provides an interpreter that has locust: the host's, or one that is made here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from mlgate.launcher.command import run_command
from mlgate.launcher.log import Log
from mlgate.launcher.values import Failed, Place, Stopped
from mlgate.load.pins import PINS


async def locust(scratch: Path, place: Place, log: Log, stopped: Stopped) -> Path:
    """The interpreter, made below `scratch` if needed. Raises `Failed` and `Canceled`."""
    if place.locust is not None:
        return place.locust
    log.line("installing locust for this run")
    folder = scratch / "locust"
    python = folder / "bin" / "python"
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--no-input", "--quiet", *PINS],
    )
    elsewhere = replace(place, directory=scratch)  # a folder in which no file shadows a module
    for step in steps:
        code, tail = await run_command(step, elsewhere, log, stopped, scratch=(str(scratch),))
        if code:
            said = next(filter(None, map(str.strip, reversed(tail.splitlines()))), "no output")
            kind = "network" if "WARNING: Retrying (" in tail else "environment"
            raise Failed(
                kind,
                "locust could not be installed, and a load needs it: "
                f"{said}. Use an environment with Python 3.10 or later and `venv`, and let the job "
                "reach a package index",
            )
    return python
