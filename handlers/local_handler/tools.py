"""Installs Python programs that mlgate uses itself, in environments like those of runs.

Each is made once, kept with the others, and removed when it has not been used for long.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from handlers.local_handler import environments, variables
from handlers.local_handler.installing import EnvironmentFailure, Installer
from handlers.local_handler.requirements import Plan
from handlers.local_handler.supervisor import TOOL
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost


@dataclass(frozen=True, slots=True)
class Tool:
    """An installed program; `python` is its interpreter. The environment stays as long as this."""

    python: Path
    shelf: environments.Shelf


def tool(home: Path, requirements: Sequence[str], scratch: Path) -> Tool:
    """The environment with these requirements, made if needed; `scratch` is a folder to work in.

    Raises Temporary if the network failed while it was made, and Permanent for other failures.
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
        from uv import find_uv_bin  # noqa: PLC0415 -- a host that only publishes does without it

        return find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise UnfitHost(
            "Runs on this machine need the program uv. Install mlgate with what they need: "
            "pip install 'mlgate[local]', or pip install -e '.[local]' in a clone."
        ) from error


class _Here:
    """Runs uv as a child of this process, so that Ctrl-C ends both."""

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
