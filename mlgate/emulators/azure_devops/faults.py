"""Faults on demand: what a real service does on a bad day.

Calls are named after their routes: "plan", "events", "feed", "records.get", "records.patch",
"logs.create", "logs.append", "attachments.put", and those of `routes.testruns` and
`routes.testresults`; "*" matches any of them.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto


class FaultKind(Enum):
    STATUS = auto()  # an error status instead of the effect
    RESET = auto()  # the connection is reset before the effect
    LOST = auto()  # the connection is reset after the effect, so the answer never arrives
    HANG = auto()  # never an answer
    REDIRECT = auto()  # 302 to `location`
    SIGN_IN = auto()  # what an expired token gets
    SLOW_DOWN = auto()  # the effect and its usual answer, with Retry-After
    NO_EFFECT = auto()  # the usual answer, but nothing happened
    LATE = auto()  # the usual answer, but the effect comes after the next request
    GARBLED = auto()  # 200 with half a JSON body
    ENDED = auto()  # the plan is over


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    status: int = 503
    retry_after: str | None = None  # the header's value: seconds or an HTTP date
    location: str = "https://signin.invalid/"
    type_key: str = "TaskOrchestrationPlanTerminatedException"

    @classmethod
    def answering(cls, status: int, retry_after: str | None = None) -> Fault:
        return cls(FaultKind.STATUS, status=status, retry_after=retry_after)

    @classmethod
    def slow_down(cls, retry_after: str) -> Fault:
        return cls(FaultKind.SLOW_DOWN, retry_after=retry_after)

    @classmethod
    def redirect(cls, location: str) -> Fault:
        return cls(FaultKind.REDIRECT, location=location)

    @classmethod
    def ended(cls, type_key: str) -> Fault:
        return cls(FaultKind.ENDED, type_key=type_key)


class Faults:
    """A script of faults per call, used up in order."""

    def __init__(self) -> None:
        self._script: dict[str, deque[Fault]] = {}
        self._lock = threading.Lock()

    def add(self, call: str, fault: Fault | FaultKind, times: int = 1) -> None:
        """The next `times` requests of `call` get `fault`, after those added before."""
        each = fault if isinstance(fault, Fault) else Fault(fault)
        with self._lock:
            self._script.setdefault(call, deque()).extend([each] * times)

    def take(self, call: str) -> Fault | None:
        with self._lock:
            for name in (call, "*"):
                if self._script.get(name):
                    return self._script[name].popleft()
        return None
