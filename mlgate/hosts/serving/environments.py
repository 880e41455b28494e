"""The Python that loads a version: in an environment that uv creates, or the host's own."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mlgate.hosts.serving.versions import Refused
from mlgate.orchestration.models import Manifest

LIMIT = 1800.0  # seconds for creating one
_MOST_BYTES = 20 << 30  # of all environments that are kept
_NUMBERS = re.compile(r"(?:\d+!)?(\d+)(?:\.(\d+))?")


def own(manifest: Manifest) -> str:
    """This interpreter, if it has what the version needs; raises `Refused` with each difference.

    Python and each distribution must be equal in X.Y.
    """
    wrong = []
    if _minor(manifest.python) != _minor(platform.python_version()):
        wrong.append(f"Python {manifest.python} is needed, {platform.python_version()} is here")
    for name, needed in sorted(manifest.distributions.items()):
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} {needed} is needed, but is not installed")
            continue
        if _minor(needed) != _minor(here):
            wrong.append(f"{name} {needed} is needed, {here} is here")
    if wrong:
        raise Refused(f"{'; '.join(wrong)}.")
    return sys.executable


class Maker:
    """Creates and caches environments under `root`, one for each set of requirements.

    A model is code and may write to its environment, so nothing else uses these environments.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: list[Any] = []  # locks of the environments in use, which must not be removed
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop creating an environment; called from another thread."""
        self._stopping.set()

    def make(self, manifest: Manifest) -> str:
        """The interpreter of an environment with what the version needs. Raises `Refused`."""
        from uv import find_uv_bin

        from handlers.local_handler import environments, installing

        python = ".".join(_minor(manifest.python))
        lines = [f"{name}=={version}" for name, version in sorted(manifest.distributions.items())]
        plan = {
            "requirements": lines, "added": [], "constraints": [], "python": python,
            "local": False, "folder": ".",
        }  # fmt: skip
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="mlgate-serve-") as made:
            folder = Path(made)
            runner = _Runner(folder / "log.txt", self._stopping)
            asked = environments.Asked(plan, sys.executable, folder)
            installer = installing.Installer(find_uv_bin(), runner, runner.log, *asked)
            shelf = environments.Shelf(self._root, "serving", runner, guarded=False)
            try:
                interpreter, warnings = shelf.take(asked, installer, folder / "resolving")
            except installing.EnvironmentFailure as failure:
                raise Refused(str(failure), lasting=failure.kind != "network") from failure
        if warnings:
            raise Refused(f"Python {python} is needed: {warnings[0]}")
        self._held = [*self._held[-1:], shelf]  # those of the previous version and of this one
        environments.prune(self._root, _MOST_BYTES)
        return str(interpreter)


class _Runner:
    """`installing.Runner` for a process that creates one environment after the other."""

    def __init__(self, log: Path, stopping: threading.Event) -> None:
        self.log = log
        self._stopping = stopping
        self._until = time.monotonic() + LIMIT

    def execute(self, command: Sequence[str], directory: Path, more: Mapping[str, str]) -> int:
        from handlers.local_handler.variables import passed_on

        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                command,
                cwd=directory,
                env={**passed_on(os.environ), **more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                while process.poll() is None:
                    self.attend(0.05)
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return process.returncode

    def attend(self, seconds: float = 0.0) -> None:
        if self._stopping.wait(seconds):
            raise Refused("This host is being stopped.", lasting=False)
        if time.monotonic() > self._until:
            raise Refused(
                f"Creating the environment took longer than {LIMIT:.0f} s.", lasting=False
            )


def _minor(version: str) -> tuple[str, ...]:
    """The X and Y of a version X.Y.Z; a text that is not a version equals only itself."""
    found = _NUMBERS.match(version)
    return (found[1], found[2] or "0") if found else (version,)
