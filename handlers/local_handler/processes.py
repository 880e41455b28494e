"""Identifies processes of this machine, finds their descendants, and ends them.

A process id alone identifies nothing: it is reused, and forgotten at a reboot. Together with the
process's start time and the machine's boot id it identifies one process for good. On Linux this is
read from /proc (proc(5), prctl(2)). Elsewhere `ps` is used, and orphans of a run can escape.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MARK = "MLGATE_ATTEMPT"  # the variable that everything started for an attempt inherits

UNMARKED = "." * 96  # the mark of a process to be marked later; longer than any attempt's id

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
# The errors of reading /proc when a process is gone, or another user's. No other error may count as
# its end: a host that runs out of open files would give up active runs.
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


class Identity(NamedTuple):
    """Identifies one process for good; `started` and `boot` are opaque."""

    pid: int
    started: str
    boot: str


class _Entry(NamedTuple):
    parent: int
    started: str
    zombie: bool


def identity(pid: int) -> Identity | None:
    """The process's identity; None if it does not exist or is a zombie."""
    entry = _entry(pid) if _LINUX else _listed(f"-p{pid}").get(pid)
    if entry is None or entry.zombie:
        return None
    return Identity(pid, entry.started, boot_id())


def alive(who: Identity) -> bool:
    return identity(who.pid) == who


def boot_id() -> str:
    if _LINUX:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return _output("sysctl", "-n", "kern.boottime").strip()


def descendants(root: int) -> set[int]:
    """Every living process below `root`, at any depth."""
    if _LINUX:
        table = {pid: entry for pid in _pids() if (entry := _entry(pid)) is not None}
    else:
        table = _listed("-A")
    children: dict[int, list[int]] = {}
    for pid, entry in table.items():
        children.setdefault(entry.parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), []) if pid not in found]
        found.update(below)
        waiting += below
    return {pid for pid in found if not table[pid].zombie}


def of_attempt(attempt: str, supervisor: int) -> set[int]:
    """Every living process of the attempt that its supervisor, which adopts orphans, can find."""
    return descendants(supervisor) if _LINUX else descendants(supervisor) | marked(attempt)


def marked(attempt: str) -> set[int]:
    """Every living process but this one that was started for the attempt with that id."""
    mark = f"{MARK}={attempt}"
    if not _LINUX:
        lines = _output("ps", "-A", "-E", "-ww", "-o", "pid=,command=").splitlines()
        return {int(line.split()[0]) for line in lines if mark in line.split()} - {os.getpid()}
    found = set()
    for pid in _pids():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except _GONE:
            continue
        if mark.encode() in variables:
            found.add(pid)
    return found - {os.getpid()}


def mark(attempt: str) -> bool:
    """Let `marked` find this process and all that it forks from now on; false if that failed.

    The process must have been started with `UNMARKED`. /proc/PID/environ shows a part of the
    process's memory, at an address that /proc/PID/stat has (proc(5), env_start). The mark is
    written there, and a fork copies it.
    """
    wanted = f"{MARK}={attempt}".encode()
    before = f"{MARK}={UNMARKED}".encode()
    at = Path("/proc/self/environ").read_bytes().find(before)
    start = int(_fields("self")[47])
    if at < 0 or not start or len(wanted) > len(before):
        return False
    ctypes.memmove(start + at, wanted.ljust(len(before), b"\0"), len(before))
    return wanted in Path("/proc/self/environ").read_bytes().split(b"\0")


def end_all(
    find: Callable[[], set[int]],
    *,
    grace: float = 0.0,
    patience: float = 10.0,
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """End the processes that `find` returns, and those they start meanwhile.

    Sends SIGTERM first and SIGKILL after `grace` seconds. Returns False if some are still there
    `patience` seconds later, because the kernel cannot stop them.
    """
    asked: set[int] = set()
    begun = time.monotonic()
    while left := find():
        waited = time.monotonic() - begun
        if waited > grace + patience:
            return False
        for pid in left:
            if waited >= grace:
                send(pid, signal.SIGKILL)
            elif pid not in asked:
                asked.add(pid)
                send(pid, signal.SIGTERM)
        pause(0.01)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, which may be gone by now."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or it changed its user
        return


def be_readable(readable: bool) -> None:
    """Allow or forbid other processes of the user to read this one's memory and variables.

    A program that this process starts is readable in any case.
    """
    _prctl(_PR_SET_DUMPABLE, int(readable))


def leave_no_core() -> None:
    """Keep this process, and all that it starts from now on, from writing a core dump in a crash.

    A program can turn that on again for itself.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, daemons included."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """Have this process killed when the thread that forked it ends; `parent` is its process id."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if _LINUX and os.getppid() != parent:  # it ended before the call above
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if _LINUX and ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- no Path per process


def _entry(pid: int) -> _Entry | None:
    try:
        fields = _fields(pid)
    except _GONE:
        return None
    return _Entry(int(fields[1]), fields[19].decode(), fields[0] in (b"Z", b"X"))


def _fields(pid: int | str) -> list[bytes]:
    """The fields of /proc/PID/stat (proc(5)) from the third one, the state, on."""
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)  # no Path per process
    try:
        stat = os.read(file, 4096)
    finally:
        os.close(file)
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    return stat[stat.rindex(b")") + 2 :].split()


def _listed(which: str) -> dict[int, _Entry]:
    table = {}
    for line in _output("ps", which, "-o", "pid=,ppid=,stat=,lstart=").splitlines():
        pid, parent, state, *started = line.split()
        table[int(pid)] = _Entry(int(parent), " ".join(started), state.startswith("Z"))
    return table


def _output(*command: str) -> str:
    import subprocess  # noqa: PLC0415 -- not needed on Linux

    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
