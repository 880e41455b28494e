"""The processes of one job: started in a session of their own, ended with all they started.

A kernel or a daemon leaves the group; on Linux it is still known by the mark in its environment
(proc(5)), elsewhere only the group is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

MARK = "AZUREML_STAND_IN_JOB"


class JobProcess:
    """`bash -c command`, its output in one file; `wake` is set once it has ended."""

    def __init__(
        self,
        command: str,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        wake: threading.Event,
    ) -> None:
        self._mark = uuid4().hex
        self._wake = wake
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=folder,
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def exit_code(self) -> int | None:
        """As a shell tells it: 128 and the signal's number for a killed one; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def ask_to_end(self, grace_seconds: float) -> None:
        """Ask the command, as a container's first process is asked, and give it time to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._watcher.join(grace_seconds)

    def kill(self) -> None:
        """Also what the command left running, which ends with the job; nothing is left then."""
        for _ in range(3):  # a process may fork while the others are listed
            if not self._kill_all():
                break
        self._process.wait()

    def _watch(self) -> None:
        self._process.wait()
        self._wake.set()

    def _kill_all(self) -> bool:
        """Whether there was anybody to kill."""
        found = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
            found = True
        for pid in self._marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                found = True
        return found

    def _marked(self) -> list[int]:
        mark = f"{MARK}={self._mark}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found
