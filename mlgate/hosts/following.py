"""Follows a build that other hosts handle, by reading its state.

Following ends at the latest some time after the build's deadline, or after a limit if the state
does not answer. Nothing here changes the build, except a cancel that a signal asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from mlgate.hosts.console import View
from mlgate.hosts.ending import CANCEL_SECONDS, ENDING
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import Rejection, StatePort
from mlgate.orchestration.engine import saved
from mlgate.orchestration.errors import OrchestrationError, Permanent
from mlgate.orchestration.verdict.narration import narrate

PAUSE = 1.0  # seconds between reads of the state
PATIENCE = timedelta(minutes=10)  # with a state that does not answer
OVERTIME = timedelta(minutes=15)  # after the deadline; hosts report the verdict within ten
FIRST_NOTE = timedelta(minutes=1)  # until the warning that no worker has started it; then doubled


class Asked(Protocol):
    """Whether this process was asked to end, and whether it was asked a second time."""

    def __bool__(self) -> bool: ...

    @property
    def again(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What was seen last.

    `build` is still open if this process was asked to end and the build did not end in time; it is
    None if no host has started it and none will.
    """

    build: Build | None = None
    rejection: Rejection | None = None


class Follower:
    """Shows a build until it ends.

    `build` is what was sent, as a host will store it; its deadline is measured by `clock`.
    `withdraw` keeps hosts from starting the build, and returns False if one already has. `cancel`
    does the same, and cancels the build if a host has started it.
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
        """Show the build until it has ended; raises `Permanent` if its end cannot be seen."""
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
        """Read the state once, if it answers; the result once the build has ended, else None."""
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
            self._shown.line("a worker has started the build")
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
            self._shown.line(f"##[warning]canceling: {how}; press Ctrl-C again to exit now")

    def _note_waiting(self) -> None:
        waited = self._clock.now() - self._began
        if waited >= self._noted:
            minutes = waited // timedelta(minutes=1)
            self._shown.line(
                f"##[warning]no worker has started the build in {minutes} min; is one running "
                "with this queue and this MLGATE_STATE?"
            )
            self._noted *= 2

    def _unanswered(self, error: OrchestrationError) -> None:
        now = self._clock.now()
        if self._silent_since is None:
            self._silent_since = now
            minutes = PATIENCE // timedelta(minutes=1)
            self._shown.line(f"##[warning]{error} Trying again for up to {minutes} minutes.")
        elif self._canceling_since is None and self._past(self._silent_since, PATIENCE):
            raise Permanent(
                f"The outcome of build {self._sent.key} is unknown: {error} "
                f"{remains(self._sent.key)}"
            ) from error

    def _check_limits(self) -> None:
        key, deadline = self._sent.key, self._sent.deadline
        if self._silent_since is not None:  # `_unanswered` has its own limit
            return
        if self._seen is None and self._past(deadline, timedelta()):
            try:
                if not self._withdraw():
                    return  # a host has just started it, as the next read shows
            except OrchestrationError as error:
                self._unanswered(error)
                return
            raise Permanent(
                f"No worker started build {key} before its deadline. Start `mlgate worker` or the "
                "function app with this queue and this MLGATE_STATE, then publish again."
            )
        if self._past(deadline, OVERTIME):
            raise Permanent(
                f"Build {key} should have ended by its deadline, {OVERTIME // timedelta(minutes=1)}"
                f" minutes ago: no host is handling it now. {remains(key)}"
            )

    def _past(self, since: datetime, limit: timedelta) -> bool:
        return self._clock.now() >= since + limit


def is_withdrawn(state: StatePort, build: Build) -> bool:
    """Cancel a build as a canceled pipeline does; True if no host had started it and none will.

    The build is read first, so canceling one that has ended needs no right to write.
    """
    stored = state.load(build.key)
    if stored is None:
        if saved.withdraw(state, build):
            return True
        stored = state.load(build.key)
    if stored is None or not stored.build.open:
        return False
    if stored.build.phase is Phase.RECEIVED and stored.build.pipeline_ended:
        return True  # an earlier call withdrew it, but its reply was lost
    saved.abandon(state, build.key)
    return False


def remains(key: str) -> str:
    """What to do about a build that may still be running."""
    return (
        f"It may still be running: `mlgate builds {key}` shows it, `mlgate cancel {key}` cancels "
        "it."
    )
