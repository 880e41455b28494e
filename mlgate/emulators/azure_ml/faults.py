"""Faults on demand: what a real service does on a bad day.

Requests are named after their routes ("jobs.put", "blob.put", "token", ...: see `routes` and
`dispatch`), and executions of jobs are "execution"; a pattern such as "jobs.*" or "*" matches
several. Faults are used in the order in which they were added.
"""

from __future__ import annotations

import fnmatch
import threading
from dataclasses import dataclass
from enum import Enum, auto


class FaultKind(Enum):
    STATUS = auto()  # an error status instead of the effect
    SAYS = auto()  # `content` instead of the effect, with status 200
    HALF = auto()  # the effect, and half of its answer
    DELAY = auto()  # the effect and its answer, `seconds` later
    RESET = auto()  # the connection is reset before the effect
    LOST = auto()  # the connection is reset after the effect, so the answer never arrives
    HANG = auto()  # no effect, and never an answer
    MUTE = auto()  # the effect, but never an answer
    PREEMPT = auto()  # execution: the node is taken away once the command runs
    VANISH = auto()  # execution: the job disappears once the command runs
    UNKNOWN = auto()  # execution: the status is "Unknown" while the command runs


_OF_EXECUTIONS = (FaultKind.PREEMPT, FaultKind.VANISH, FaultKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    status: int = 503
    retry_after: str | None = None  # the header's value: seconds or an HTTP date
    seconds: float = 0.0
    content: bytes = b""

    @classmethod
    def saying(cls, content: bytes) -> Fault:
        return cls(FaultKind.SAYS, content=content)

    @classmethod
    def answering(cls, status: int, retry_after: str | None = None) -> Fault:
        return cls(FaultKind.STATUS, status=status, retry_after=retry_after)

    @classmethod
    def delay(cls, seconds: float) -> Fault:
        return cls(FaultKind.DELAY, seconds=seconds)


class Faults:
    """A script of faults per pattern of calls, used up in order."""

    def __init__(self) -> None:
        self._script: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()

    def add(self, call: str, fault: Fault | FaultKind, times: int = 1) -> None:
        """The next `times` calls that match `call` get `fault`, after those added before."""
        each = fault if isinstance(fault, Fault) else Fault(fault)
        with self._lock:
            self._script.extend([(call, each)] * times)

    def clear(self) -> None:
        with self._lock:
            self._script.clear()

    def take(self, call: str) -> Fault | None:
        """The next fault for a request of that name, or for an execution."""
        with self._lock:
            for number, (pattern, fault) in enumerate(self._script):
                of_execution = fault.kind in _OF_EXECUTIONS
                if of_execution == (call == "execution") and fnmatch.fnmatchcase(call, pattern):
                    del self._script[number]
                    return fault
        return None
