"""What somebody outside its chain of looks asks of a build; the next look takes it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlgate.orchestration.builds import Build
from mlgate.orchestration.ports import StatePort


def cancel(state: StatePort, key: str, reason: str) -> bool:
    """Ask for the end of a build; false when it is unknown or has ended."""
    return _change(
        state,
        key,
        lambda build: replace(build, cancel_requested=build.cancel_requested or reason),
    )


def abandon(state: StatePort, key: str) -> bool:
    """Say that the build's pipeline is gone; false when it is unknown or has ended."""
    return _change(state, key, lambda build: replace(build, pipeline_ended=True))


def taken_in(build: Build, asked: Build) -> Build:
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
