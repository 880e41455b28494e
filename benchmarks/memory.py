"""Measures the memory of the processes that this one has started."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Memory:
    """Their total memory in bytes, sampled continuously; `most` is the peak."""

    most: int = 0
    _now: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def settled(self) -> int:
        """The memory once it has stopped changing."""
        before = 0
        while not before or abs(self._now - before) > (1 << 20):
            before = self._now
            time.sleep(0.5)
        return self._now

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self._now = sum(_memory_of(pid) for pid in _family(os.getpid()))
            self.most = max(self.most, self._now)


def _family(ancestor: int) -> set[int]:
    """All descendants of a process."""
    parents = dict[int, int]()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(place.name)] = int(
                (place / "stat").read_text().rpartition(")")[2].split()[1]
            )
    found, more = set[int](), {ancestor}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return found


def _memory_of(pid: int) -> int:
    """Its own memory in bytes, plus its share of shared memory."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
