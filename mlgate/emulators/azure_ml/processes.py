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

    def end(self, grace_seconds: float) -> int:
        """Ask the command, as a container's first process is asked; then kill what is left.

        Returns the exit code as `kill` has it.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._watcher.join(grace_seconds)
        return self.kill()

    def kill(self) -> int:
        """Also after the command has ended: what it left running ends with the job.

        The command's exit code, for a killed one as a shell tells it: 128 and the signal's number.
        """
        for _ in range(3):  # a process may fork while the others are listed
            if not self._kill_all():
                break
        self._watcher.join()
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def _watch(self) -> None:
        """Leaves the ended command a zombie, so that its group's id is nobody else's."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._wake.set()

    def _kill_all(self) -> bool:
        """The group, and whoever left it; whether there was one of the latter."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        marked = self._marked()
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(marked)

    def _marked(self) -> list[int]:
        mark = f"{MARK}={self._mark}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found
