"""Installs the parts of Jupyter that a notebook needs and the environment lacks."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from dataclasses import replace

from mlgate.launcher.command import run_command
from mlgate.launcher.jupyter import JUPYTER, installed_module
from mlgate.launcher.log import Log
from mlgate.launcher.values import Failed, Place, Stopped


async def add_jupyter(place: Place, log: Log, stopped: Stopped) -> None:
    """Makes sure that Jupyter is there; installs missing parts in the overlay, if there is one."""
    if place.overlay:
        sys.path.append(str(place.overlay))
        paths = os.environ.get("JUPYTER_PATH"), str(place.overlay / "share" / "jupyter")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))  # for its templates
    missing = [name for name in JUPYTER if not installed_module(name)]
    if missing and place.overlay:
        log.line(f"installing for this run: {', '.join(missing)}")
        target = ["--quiet", "--target", str(place.overlay), *missing]
        installer = [sys.executable, "-m", "pip", "install", "--no-input"]
        if not installed_module("pip") and (uv := shutil.which("uv")):
            installer = [uv, "pip", "install", "--python", sys.executable]
        elsewhere = replace(place, directory=place.output)  # no file there shadows pip's modules
        await run_command([*installer, *target], elsewhere, log, stopped)
        importlib.invalidate_caches()
        missing = [name for name in JUPYTER if not installed_module(name)]
    if missing:
        names = ", ".join(missing)
        raise Failed(
            "environment", f"running a notebook needs {names}: add them to the environment"
        )
