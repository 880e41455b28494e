"""A build that hosts handle, followed from elsewhere by what the state says of it.

It ends within bounds: what the build's own deadline allows, and a limit for a state that does not
answer. Nothing here acts on the build, but for the cancel that a signal asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from mlgate.hosts.console import View
from mlgate.hosts.ending import CANCEL_SECONDS, ENDING
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import Rejection, StatePort
from mlgate.orchestration.engine import saved
from mlgate.orchestration.errors import OrchestrationError, Permanent
from mlgate.orchestration.ports import Clock
from mlgate.orchestration.verdict.narration import narrate

PAUSE = 1.0  # seconds between two looks at the state
PATIENCE = timedelta(minutes=10)  # with a state that does not answer
OVERTIME = timedelta(minutes=15)  # after the deadline; hosts say in ten what came of a build
FIRST_NOTE = timedelta(minutes=1)  # that no worker has taken it; each next one after twice as long


class Asked(Protocol):
    """Whether this process was asked to end, and whether it was asked again."""

    def __bool__(self) -> bool: ...

    @property
    def again(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What was seen last. `build` is still open where this process was asked to end and the build
    did not end in time; it is None where no host has begun it, and none will."""

    build: Build | None = None
    rejection: Rejection | None = None


class Follower:
    """`build` is the one that was sent, as a host will store it; its deadline is by `clock`.

    `withdraw` has no host begin it, and returns whether none had; `cancel` does the same, and asks
    for the end of one that a host has begun.
    """

    def __init__(
        self,
        state: StatePort,
        build: Build,
        shown: View,
        *,
        asked: Asked,
        withdraw: Callable[[], bool],
        cancel: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._state, self._sent, self._shown = state, build, shown
        self._asked, self._withdraw, self._cancel = asked, withdraw, cancel
        self._clock = clock
        self._began = clock.now()
        self._seen: Build | None = None
        self._noted = FIRST_NOTE
        self._silent_since: datetime | None = None
        self._canceling_since: datetime | None = None
        self._canceled = False

    def follow(self) -> Followed:
        """Show the build until it has ended; raises `Permanent` where its end cannot be seen."""
        while True:
            found = self._look()
            if found is not None:
                return found
            if self._canceling_since is None:
                self._check_limits()
            elif self._asked.again or self._past(
                self._canceling_since, timedelta(seconds=CANCEL_SECONDS)
            ):
                return Followed(self._seen or self._sent)
            self._clock.sleep(PAUSE)

    def _look(self) -> Followed | None:
        """One look at the state, which may not answer; what came of the build once it has ended."""
        try:
            if self._asked and not self._canceled:
                self._begin_to_cancel()
                withdrawn = self._cancel()
                self._canceled = True
                if withdrawn:
                    return Followed()
            stored = self._state.load(self._sent.key)
            rejection = None if stored else self._state.rejection(self._sent.key)
        except OrchestrationError as error:
            self._unanswered(error)
            return None
        if self._silent_since is not None:
            self._silent_since = None
            self._shown.line("the state answers again")
        if rejection is not None:
            return Followed(rejection=rejection)
        if stored is not None:
            self._show(stored.build)
            return None if stored.build.open else Followed(stored.build)
        self._note_waiting()
        self._shown.update(None)
        return None

    def _show(self, build: Build) -> None:
        before = self._seen
        if before is None:
            self._shown.line("a worker has taken it")
            before = replace(
                build,
                phase=Phase.RECEIVED,
                commit=None,
                runs=(),
                checks=(),
                troubles=(),
                ending_since=None,
                verdict=None,
            )
        for line in narrate(before, build):
            self._shown.line(line)
        self._shown.update(build)
        self._seen = build

    def _begin_to_cancel(self) -> None:
        if self._canceling_since is None:
            self._canceling_since = self._clock.now()
            how = ENDING[(self._seen or self._sent).backend]
            self._shown.line(f"##[warning]canceling: {how}; Ctrl-C again leaves at once")

    def _note_waiting(self) -> None:
        waited = self._clock.now() - self._began
        if waited >= self._noted:
            minutes = waited // timedelta(minutes=1)
            self._shown.line(
                f"##[warning]no worker has taken it yet, {minutes} min; is one running with this "
                "queue and this MLGATE_STATE?"
            )
            self._noted *= 2

    def _unanswered(self, error: OrchestrationError) -> None:
        now = self._clock.now()
        if self._silent_since is None:
            self._silent_since = now
            minutes = PATIENCE // timedelta(minutes=1)
            self._shown.line(f"##[warning]{error} Trying again, for {minutes} minutes at most.")
        elif self._canceling_since is None and self._past(self._silent_since, PATIENCE):
            raise Permanent(
                f"What became of build {self._sent.key} is not known: {error} "
                f"{remains(self._sent.key)}"
            ) from error

    def _check_limits(self) -> None:
        key, deadline = self._sent.key, self._sent.deadline
        if self._silent_since is not None:  # which has a limit of its own
            return
        if self._seen is None and self._past(deadline, timedelta()):
            try:
                if not self._withdraw():
                    return  # a host was first: the next look sees it
            except OrchestrationError as error:
                self._unanswered(error)
                return
            raise Permanent(
                f"No worker took build {key} before its deadline. Start `mlgate worker` or the "
                "function app with this queue and this MLGATE_STATE, then publish again."
            )
        if self._past(deadline, OVERTIME):
            raise Permanent(
                f"Build {key} should have ended by its deadline, {OVERTIME // timedelta(minutes=1)}"
                f" minutes ago: no host handles it any more. {remains(key)}"
            )

    def _past(self, since: datetime, limit: timedelta) -> bool:
        return self._clock.now() >= since + limit


def is_withdrawn(state: StatePort, build: Build) -> bool:
    """Cancel a build as a canceled pipeline does; whether no host had begun it, so that none will.

    The build is read first: what has ended needs no right to change it.
    """
    stored = state.load(build.key)
    if stored is None:
        if saved.withdraw(state, build):
            return True
        stored = state.load(build.key)
    if stored is None or not stored.build.open:
        return False
    if stored.build.phase is Phase.RECEIVED and stored.build.pipeline_ended:
        return True  # the answer to an earlier try was lost
    saved.abandon(state, build.key)
    return False


def remains(key: str) -> str:
    """What to do about a build that may go on."""
    return f"It may go on: `mlgate builds {key}` shows it, `mlgate cancel {key}` cancels it."
