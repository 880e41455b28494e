"""The processes of one job: started in their own session, and ended with everything they started.

A kernel or a daemon leaves the group. On Linux it is found by a mark in its environment (proc(5));
elsewhere only the group is ended.
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
    """Runs `bash -c command` with its output in one file; `wake` is set once it has ended."""

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
        """Send SIGTERM, as to a container's first process, then kill what is left.

        Returns the exit code as `kill` does.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._watcher.join(grace_seconds)
        return self.kill()

    def kill(self) -> int:
        """Kill everything that is left, even after the command has ended.

        Returns the command's exit code; if it was killed, 128 plus the signal's number, as a shell.
        """
        for _ in range(3):  # a process may fork while the others are listed
            if not self._kill_all():
                break
        self._watcher.join()
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def _watch(self) -> None:
        """Wait for the end, but leave a zombie, so that the id of its group is not reused."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._wake.set()

    def _kill_all(self) -> bool:
        """Kill the group and the processes that left it; returns whether any had left."""
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
