"""Processes of this machine: who is who, who descends from whom, and how to end them all.

A process id alone names nobody: it is reused, and forgotten at a reboot. With the time the process
started and the machine's boot id it names one process for good. Linux is read from /proc
(proc(5), prctl(2)); elsewhere `ps` tells, and orphans of a run can slip away.
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

UNMARKED = "." * 96  # in a process that can be marked later; longer than any attempt's id

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
# What reading of a process in /proc says when it is gone, or somebody else's. Nothing else may be
# taken for its end: a host out of open files would give up what goes on.
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


class Identity(NamedTuple):
    """One process for good; `started` and `boot` are opaque."""

    pid: int
    started: str
    boot: str


class _Entry(NamedTuple):
    parent: int
    started: str
    zombie: bool


def identity(pid: int) -> Identity | None:
    """The process's identity; None when there is none, or only its zombie is left."""
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
    """Every living process below `root`, however deep."""
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
    """Every living process of the attempt, as its supervisor, which adopts orphans, can know it."""
    return descendants(supervisor) if _LINUX else descendants(supervisor) | marked(attempt)


def marked(attempt: str) -> set[int]:
    """Every living process but this one that was started for the attempt of that id."""
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
    """Have this process, and all that it forks from now on, found by `marked`; false: it is not.

    It must have been started with `UNMARKED`. What /proc/PID/environ shows is a piece of the
    process's memory, from the address that /proc/PID/stat tells (proc(5), env_start): it is
    written to, and a fork copies it.
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
    """End the processes that `find` tells of, and those they start meanwhile.

    SIGTERM first and SIGKILL after `grace` seconds; False when some are still there `patience`
    seconds later (a process that the kernel itself cannot stop).
    """
    told: set[int] = set()
    begun = time.monotonic()
    while left := find():
        waited = time.monotonic() - begun
        if waited > grace + patience:
            return False
        for pid in left:
            if waited >= grace:
                send(pid, signal.SIGKILL)
            elif pid not in told:
                told.add(pid)
                send(pid, signal.SIGTERM)
        pause(0.01)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may be gone by now."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or it changed its user
        return


def be_readable(readable: bool) -> None:
    """Whether processes of the same user may read this one's memory and variables, in /proc too.

    A program that this process starts is readable, whatever this one is.
    """
    _prctl(_PR_SET_DUMPABLE, int(readable))


def leave_no_core() -> None:
    """Have this process, and all that it starts from now on, write no memory to the disk when it
    crashes; a program that wants to may ask for it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, daemons included."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """Be killed when the thread that forked this process ends; `parent` is its process id."""
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
    """Those of proc(5) from the third one, the state, on."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    return stat[stat.rindex(b")") + 2 :].split()


def _listed(which: str) -> dict[int, _Entry]:
    table = {}
    for line in _output("ps", which, "-o", "pid=,ppid=,stat=,lstart=").splitlines():
        pid, parent, state, *started = line.split()
        table[int(pid)] = _Entry(int(parent), " ".join(started), state.startswith("Z"))
    return table


def _output(*command: str) -> str:
    import subprocess  # noqa: PLC0415 -- not needed where there is /proc

    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
