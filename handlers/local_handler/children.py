"""Starts, awaits and ends a supervisor's child processes, which cannot outlive it.

It doesn't use `subprocess`, because a supervisor also becomes the parent of daemons that a run
leaves behind. So it must reap whatever ends, and its children must die with it (prctl(2),
PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from handlers.local_handler import processes

_REAPED = 0.5  # seconds that helper processes have to end by themselves after the run


class Children:
    """The children of a process that has only one thread."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._exit_codes: dict[int, int] = {}
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        # Without a handler the signal would not wake `select`.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], directory: Path, log: Path
    ) -> int:
        """Start a program in a session of its own; returns its process id.

        Raises OSError if no process can be forked.
        """
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                processes.end_with_parent(parent)
                os.setsid()
                output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.chdir(directory)
                for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(ignored_by_python, signal.SIG_DFL)
                os.execve(  # noqa: S606 -- no shell is wanted
                    command[0], list(command), dict(variables)
                )
            except BaseException:  # noqa: BLE001 -- nothing may escape the forked process
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(127)
        return self.adopt(pid)

    def adopt(self, pid: int) -> int:
        """Watch this child as well; returns its process id."""
        self._running.add(pid)
        return pid

    def wait(self, pid: int, seconds: float) -> int | None:
        """The child's exit code, negative for a signal; None if it still runs after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            self._reap()
            left = until - time.monotonic()
            if pid in self._exit_codes or left <= 0:
                return self._exit_codes.get(pid)
            self._sleep(left)

    def pause(self, seconds: float) -> None:
        """Wait at most `seconds`, and reap what ends meanwhile."""
        self._sleep(seconds)
        self._reap()

    def end_all(self, attempt: str) -> bool:
        """End all processes left of the attempt; false if the kernel cannot end one."""

        def left() -> set[int]:
            return processes.of_attempt(attempt, os.getpid())

        return processes.end_all(left, grace=_REAPED, pause=self.pause)

    def _sleep(self, seconds: float) -> None:
        select.select([self._woken], [], [], max(0.0, seconds))
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._running:
                self._running.discard(pid)
                self._exit_codes[pid] = os.waitstatus_to_exitcode(status)
