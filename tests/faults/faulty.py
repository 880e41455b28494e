"""Ports that fail as asked, at the call asked for: once, or from then on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlgate.orchestration import durable, ports
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost

PORTS: dict[str, type] = {
    "state": durable.StatePort,
    "queue": durable.QueuePort,
    "repository": ports.RepositoryPort,
    "pipeline": ports.PipelinePort,
    "backend": ports.BackendPort,
    "files": ports.BuildFiles,
    "tree": ports.Tree,
    "models": durable.ModelsPort,
    "service": ports.ServicePort,
}


class Fault(StrEnum):
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNFIT = "unfit"
    BUG = "bug"
    KILLED = "killed"  # the process ends before the call does anything
    KILLED_AFTER = "killed-after"  # it ends right after
    LOST = "lost"  # it is done, and the answer never comes
    UNDONE = "undone"  # it is answered, and never done: a message that vanishes


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Point:
    """`fault` at call number `call`, from 1, of `method` of `port`; `for_ever`: from then on.

    `method` "*" is any of them, and `others` fail like it. A call takes so many seconds to fail.
    """

    port: str
    method: str
    fault: Fault
    call: int = 1
    for_ever: bool = False
    seconds: float = 0.0
    others: tuple[tuple[str, str], ...] = ()

    def strikes(self, port: str, method: str) -> bool:
        of_the_port = port == self.port and self.method in (method, "*")
        return of_the_port or (port, method) in self.others

    def __str__(self) -> str:
        slowly = f" after {self.seconds:.0f} s" if self.seconds else ""
        when = f"from call {self.call} on" if self.for_ever else f"at call {self.call}"
        places = [f"{self.port}.{self.method}", *map(".".join, self.others)]
        return f"{', '.join(places)}: {self.fault}{slowly} {when}"


@dataclass
class Strikes:
    """Counts calls, and strikes at its point."""

    point: Point | None = None
    wait: Callable[[float], None] = lambda _: None
    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    struck: int = 0

    def call(self, port: str, method: str, act: Callable[[], Any]) -> Any:
        number = self.calls.get((port, method), 0) + 1
        self.calls[port, method] = number
        point = self.point
        if point is None or not point.strikes(port, method):
            return act()
        if number != point.call and not (point.for_ever and number > point.call):
            return act()
        self.struck += 1
        if point.seconds:
            self.wait(point.seconds)
        return _strike(point.fault, act)


def _strike(fault: Fault, act: Callable[[], Any]) -> Any:
    match fault:
        case Fault.TEMPORARY:
            raise Temporary("It does not answer.")
        case Fault.PERMANENT:
            raise Permanent("It said no.")
        case Fault.UNFIT:
            raise UnfitHost("This host may not.")
        case Fault.BUG:
            raise ZeroDivisionError("a bug")
        case Fault.KILLED:
            raise Killed
        case Fault.KILLED_AFTER:
            act()
            raise Killed
        case Fault.LOST:
            act()
            raise Temporary("The answer was lost.")
        case Fault.UNDONE:
            return None


class Process:
    """One process: dead after a kill, whatever it still calls on its way out."""

    def __init__(self, strikes: Strikes) -> None:
        self._strikes = strikes
        self.alive = True

    def call(self, port: str, method: str, act: Callable[[], Any]) -> Any:
        if not self.alive:
            raise Killed
        try:
            return self._strikes.call(port, method, act)
        except Killed:
            self.alive = False
            raise

    def port(self, name: str, real: object) -> Any:
        """`real`, each method of its port struck as asked."""
        methods = methods_of(name)

        class Struck:
            def __getattr__(struck, attribute: str) -> Any:  # noqa: N805 -- `self` is the process
                found = getattr(real, attribute)
                if attribute not in methods or not callable(found):
                    return found

                @functools.wraps(found)
                def call(*arguments: Any, **named: Any) -> Any:
                    return self.call(name, attribute, lambda: found(*arguments, **named))

                return call

        return Struck()

    @contextmanager
    def checkout(self, real: Any) -> Iterator[Any]:
        """A checkout whose tree is struck as asked."""
        with real as tree:
            yield self.port("tree", tree)


@functools.cache
def methods_of(port: str) -> tuple[str, ...]:
    """The methods of a port, as its protocol has them."""
    found = inspect.getmembers(PORTS[port], inspect.isfunction)
    return tuple(name for name, _ in found if not name.startswith("_"))
