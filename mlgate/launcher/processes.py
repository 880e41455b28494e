"""Starts and ends the processes of a run: each ends with the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlgate.launcher.values import Child

INTERRUPT_SECONDS = 3.0  # between asking a cell or a command to end and killing it
KILL_SECONDS = 5.0  # to wait for the end of what was killed
FIRST = asyncio.FIRST_COMPLETED


def start_program(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    output: int,
    given: int = subprocess.DEVNULL,
) -> Child:
    """Starts a program; `output` and `given` are descriptors for its output and its input."""
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment,
        stdin=given,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class Process:
    """A child that leads a session of its own, and does not outlive the launcher.

    `ended` is done, with the exit code (negative: the signal), once the child has ended. If the
    launcher is killed, the input of a guard process ends; the guard then kills the whole group and
    removes the scratch folders.
    """

    def __init__(self, child: Child, *scratch: str) -> None:
        self.pid = child.pid
        guard = 'read _; kill -KILL "-$0"; rm -rf "$@"'
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", guard, str(self.pid), *scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()

        def wait() -> None:
            loop.call_soon_threadsafe(self.ended.set_result, child.wait())

        # A daemon thread, so that the exit does not wait for it: a process that hangs in its file
        # system does not end even when it is killed.
        threading.Thread(target=wait, daemon=True).start()

    def signal(self, number: int) -> None:
        """Signals the whole group, which may have more processes than the child, or none."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def kill(self) -> int:
        """Kills the group; returns the child's exit code, or that of SIGKILL if it hangs."""
        self.signal(signal.SIGKILL)
        self._guard.kill()
        self._guard.communicate()
        await asyncio.wait({self.ended}, timeout=KILL_SECONDS)
        return self.ended.result() if self.ended.done() else -signal.SIGKILL


def adopt_orphans() -> None:
    """Makes background processes of a run children of the launcher, so that it can find them."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, prctl(2)


def kill_children() -> None:
    """Kills all children, including adopted ones. Call it when nothing of ours runs any longer."""
    deadline = time.monotonic() + KILL_SECONDS
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _children() -> list[int]:
    found = ""
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found += path.read_text()
    return [int(pid) for pid in found.split()]


def oom_kills() -> int:
    """How many processes were killed so far because memory ran out, as far as it is known."""
    groups = "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"
    total = 0
    for path in ("/proc/vmstat", *groups):
        with contextlib.suppress(OSError):
            found = re.search(r"^oom_kill (\d+)", Path(path).read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total


def exit_text(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "a signal"
    return f"killed by {name} (signal {-code})"


def peak_memory() -> str:
    return f"{peak_memory_mb():.0f} MiB"


def peak_memory_mb() -> float:
    """The peak memory of the largest child that has ended, in MiB."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # see getrusage(2)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
