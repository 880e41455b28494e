"""A build as it is remembered, and its changes: by the handler that acts on it, and by others.

Every save is a compare-and-swap. What others ask of a build outside its looks, `cancel` and
`abandon`, is the one thing that may be saved in between: the handler takes it in and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import StatePort, Stored
from mlgate.orchestration.engine.progress import with_percent
from mlgate.orchestration.verdict.narration import narrate

log = logging.getLogger("mlgate")


class SupersededError(Exception):
    """The build was saved by somebody else meanwhile: what this handler knows is old."""


class SavedBuild:
    """The build in the hands of one handler: `build` is what it knows, and goes on from.

    `lines` is what became new, for the build's live log; none when `silent`.
    """

    def __init__(self, state: StatePort, stored: Stored) -> None:
        self._state = state
        self._stored = stored
        self._narrated = stored.build
        self.build = stored.build
        self.lines: list[str] = []
        self.silent = False

    def keep(self, build: Build) -> None:
        """Go on with `build`, which the next save saves: for what can be found out again."""
        self.build = with_percent(build)

    def save(self, build: Build) -> None:
        """Go on with `build`, and save it; may raise `SupersededError`."""
        self.build = build = with_percent(build)
        if build == self._stored.build:
            return
        version = self._stored.version
        while (stored := self._state.save(build, version)) is None:
            found = self._state.load(build.key)
            # Anything else was saved by another handler, or by this one with a lost answer; the
            # next look goes on from there.
            known = self._stored.build
            if found is None or _taken_in(known, found.build) != found.build:
                raise SupersededError
            # Somebody asked for the end meanwhile. What was done here must not be forgotten.
            build = _taken_in(build, found.build)
            version = found.version
        self._stored = stored
        self.build = stored.build
        self.narrate()

    def narrate(self) -> None:
        """Add to `lines` what is new in `build`, saved or not.

        If it is never saved, the next handler finds the same lines, which get the same numbers.
        """
        if self.silent:
            return
        try:
            self.lines += narrate(self._narrated, self.build)
        except Exception:  # the log is for people; nothing waits for it
            log.exception("build %s: its live log cannot be rendered", self.build.build_id)
        self._narrated = self.build


def cancel(state: StatePort, key: str, reason: str) -> bool:
    """Ask for the end of a build; false when it is unknown or has ended."""
    return _change(
        state,
        key,
        lambda build: replace(build, cancel_requested=build.cancel_requested or reason),
    )


def abandon(state: StatePort, key: str) -> bool:
    """Record that the build's pipeline is gone; false when it is unknown or has ended."""
    return _change(state, key, lambda build: replace(build, pipeline_ended=True))


def withdraw(state: StatePort, build: Build) -> bool:
    """Store a build whose message no host has handled yet as one that nobody waits for: a host that
    handles it now runs nothing. False when a host was first."""
    return state.create(replace(build, pipeline_ended=True), None)


def _taken_in(build: Build, asked: Build) -> Build:
    """`build` with what was asked of it since it was read; `asked` is the build as stored."""
    return replace(
        build,
        cancel_requested=build.cancel_requested or asked.cancel_requested,
        pipeline_ended=build.pipeline_ended or asked.pipeline_ended,
    )


def _change(state: StatePort, key: str, change: Callable[[Build], Build]) -> bool:
    while (stored := state.load(key)) is not None and stored.build.open:
        if state.save(change(stored.build), stored.version) is not None:
            return True
    return False
