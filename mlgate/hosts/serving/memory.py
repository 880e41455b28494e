"""How much memory the machine or the container has left for another process."""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Free memory in bytes; None if unknown."""
    found = [each for each in (_of_machine(), _of_container()) if each is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return None


def _of_container() -> int | None:
    """By control groups, version 2; inactive file cache counts as free."""
    try:
        most = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return None if most == "max" else int(most) - used + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
