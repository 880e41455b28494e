"""A build in the hands of one handler, with every step of its work counted.

A step is counted before it begins, and uncounted when it has ended, well or badly. To spare a quiet
look a save for each step, only the turn is counted at first; after a turn that did not end, the
next ones count each step as well, until one ends. So a step that kills hosts is known after the
third of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import Stored
from mlgate.orchestration.engine import progress, trouble
from mlgate.orchestration.engine.saved import SavedBuild, SupersededError
from mlgate.orchestration.engine.trouble import TABLE, Doing
from mlgate.orchestration.errors import OrchestrationError, UnfitHost
from mlgate.orchestration.ports import Ports

log = logging.getLogger("mlgate")

_MAIN = {
    Phase.RECEIVED: Doing.PREPARE,
    Phase.WATCHING: Doing.LOOK,
    Phase.PROMOTING: Doing.PROMOTE,
    Phase.COMPLETING: Doing.POST,
}


def _doing(step: str) -> Doing:
    return Doing(step.partition(":")[0])


class DeadlyError(UnfitHost):
    """A step in which this build's hosts have died too often: it is skipped."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{deaths(what)} {remedy}".strip())


def deaths(what: str) -> str:
    """The sentence for hosts that died when they `what`, in the past tense."""
    return f"{trouble.DEATHS} hosts died while they {what}."


def is_suspect(build: Build) -> bool:
    """Whether the next death of a host would be the third one in a turn or step of this build.

    The first death in a step is counted by its turn alone. A turn that ended without reaching the
    step leaves the step's count.
    """
    steps = (times for step, times in build.begun.items() if step != Doing.TURN)
    return build.begun.get(Doing.TURN, 0) >= trouble.DEATHS - 1 or trouble.DEATHS - 2 in steps


class Work:
    """`careful`: an earlier turn did not end. `steps`: how many were begun. `at`: when
    the turn began, by the broker's clock."""

    def __init__(self, ports: Ports, stored: Stored, at: datetime | None = None) -> None:
        self.ports = ports
        self.saved = SavedBuild(ports.state, stored)
        self.careful = bool(stored.build.begun)
        self.saved.silent = self.deadly(Doing.TURN)
        self.steps = 0
        self._doing: str | None = None
        self._began = self._turn_began = self.now()
        self._at = at

    @property
    def build(self) -> Build:
        return self.saved.build

    def now(self) -> datetime:
        return self.ports.clock.now()

    def broker_now(self) -> datetime:
        """The same on all hosts, even if their clocks differ, except for how long the look waited
        for a host."""
        now = self.now()
        return now if self._at is None else self._at + (now - self._turn_began)

    @property
    def step(self) -> str:
        """What is being done, or was when it failed: a `Doing`, perhaps with `:` and of what."""
        return self._doing or _MAIN.get(self.build.phase, Doing.POST)

    @property
    def doing(self) -> Doing:
        """The row of the trouble table that `step` belongs to."""
        doing = _doing(self.step)
        return doing if doing in TABLE else _MAIN.get(self.build.phase, Doing.POST)

    @property
    def took(self) -> float:
        """Seconds that the step took which has just failed."""
        return max(0.0, (self.now() - self._began).total_seconds())

    def begin(self) -> None:
        """Count the turn."""
        self._count(Doing.TURN)

    def end(self) -> None:
        """Uncount the turn, with the next save."""
        self._uncount(Doing.TURN)

    @contextmanager
    def on(self, step: str, *, whole: bool = True) -> Iterator[None]:
        """For a step that may kill its host; a `whole` step that succeeds clears its trouble."""
        self._doing = step
        self._began = self.now()
        self.steps += 1
        if self.careful:
            self._count(step)
        try:
            yield
        except Exception:
            self._uncount(step)
            raise
        self._uncount(step)
        if whole:
            troubles = trouble.forget(self.build.troubles, _doing(step))
            self.saved.keep(replace(self.build, troubles=troubles))
        self._doing = None

    def deadly(self, step: str) -> bool:
        """Whether hosts died in it too often; the first of them is known by its turn alone."""
        return self.build.begun.get(step, 0) >= trouble.DEATHS - 1

    def refuse_deadly(self, step: str, what: str, remedy: str = "") -> None:
        """Raise `DeadlyError` where hosts died in `step` too often."""
        if self.deadly(step):
            self._doing = step
            raise DeadlyError(what, remedy)

    def well_done(self, step: str, act: Callable[[], None]) -> bool:
        """Do an optional step; a failure is logged. Returns whether nothing failed.

        Each place has a `step` of its own, as what succeeds in one may be deadly in another.
        """
        if self.deadly(step):
            return True
        try:
            with self.on(step):
                act()
        except SupersededError:
            raise
        except OrchestrationError as error:
            log.warning("build %s: %s: %s", self.build.build_id, step, error)
        except Exception:
            log.exception("build %s: %s", self.build.build_id, step)
        else:
            return True
        self._doing = None
        return False

    def take_in_ending(self) -> None:
        """Check whether somebody asked for the end meanwhile, or the deadline has passed."""
        self.saved.keep(progress.absorb(self.build, {}, self.now()))

    def failed(self, step: str) -> None:
        """Say that what is about to be raised belongs to `step`."""
        self._doing = step

    def save(self, build: Build) -> None:
        """Save `build`, the result of a step, with the steps begun so far; in a new phase only the
        turn stays counted, and troubles are cleared."""
        begun = self.build.begun
        if build.phase is not self.build.phase:
            begun = {step: times for step, times in begun.items() if step == Doing.TURN}
            build = replace(build, troubles=())
        self.saved.save(replace(build, begun=begun))

    def _count(self, step: str) -> None:
        begun = {**self.build.begun, step: self.build.begun.get(step, 0) + 1}
        self.saved.save(replace(self.build, begun=begun))

    def _uncount(self, step: str) -> None:
        begun = {name: times for name, times in self.build.begun.items() if name != step}
        self.saved.keep(replace(self.build, begun=begun))
