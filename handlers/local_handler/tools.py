"""A program of Python's that mlgate uses itself, in an environment like those of runs: made once,
kept with them, and removed when nothing used it for long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from uv import find_uv_bin

from handlers.local_handler import environments, variables
from handlers.local_handler.installing import EnvironmentFailure, Installer
from handlers.local_handler.requirements import Plan
from handlers.local_handler.supervisor import TOOL
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost


@dataclass(frozen=True, slots=True)
class Tool:
    """`python` is the interpreter that has it. As long as this is held, its environment stays."""

    python: Path
    shelf: environments.Shelf


def tool(home: Path, requirements: Sequence[str], scratch: Path) -> Tool:
    """The environment with these requirements, made if need be; `scratch` is a folder to work in.

    Raises Temporary when the network kept it from being made, else Permanent.
    """
    root, log = home.absolute() / "environments", scratch / "environment.log"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    runner = _Here(log)
    asked = environments.Asked(asdict(Plan(tuple(requirements))), sys.executable, scratch)
    shelf = environments.Shelf(root, TOOL, runner, guarded=False)
    try:
        python, _ = shelf.take(
            asked, Installer(find_uv(), runner, log, *asked), scratch / "resolving"
        )
    except EnvironmentFailure as failure:
        kind = Temporary if failure.kind == "network" else Permanent
        raise kind(str(failure)) from failure
    return Tool(python, shelf)


def find_uv() -> str:
    """The program's path. Raises UnfitHost."""
    try:
        return find_uv_bin()
    except FileNotFoundError as error:
        raise UnfitHost("Runs on this machine need the program uv: install it.") from error


class _Here:
    """Runs uv as a child of this process, which ends with it on Ctrl-C."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def execute(self, command: Sequence[str], directory: Path, more: Mapping[str, str]) -> int:
        found = {**variables.passed_on(os.environ), **more}
        with self._log.open("ab") as log:
            return subprocess.run(
                command,
                cwd=directory,
                env=found,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode

    def attend(self, seconds: float = 0.0) -> None:
        time.sleep(seconds)
