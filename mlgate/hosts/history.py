"""`mlgate builds` and `mlgate cancel`: what happened, and the end of what still does."""

from __future__ import annotations

import sys

from mlgate.hosts.assembly import make_files, make_state
from mlgate.hosts.settings import Settings
from mlgate.orchestration import requests
from mlgate.orchestration.builds import Build
from mlgate.orchestration.gates import describe_failure
from mlgate.orchestration.ports import StatePort
from mlgate.orchestration.runs import RunStatus

OK, UNKNOWN = 0, 3


def show_builds(settings: Settings) -> int:
    """Builds and rejected messages, newest first."""
    state = make_state(settings)
    builds, rejections = state.builds(), state.rejections()
    if not builds and not rejections:
        print("No builds yet. `mlgate run MESSAGE.json` makes one.")
    for build in builds:
        print(f"{_when(build)}  {build.key}  {build.build_id:<20}  {_status(build)}")
    if rejections:
        print("\nrejected messages:")
    for rejection in rejections:
        name = rejection.build_id or rejection.key
        print(f"{rejection.received_at:%Y-%m-%d %H:%M}  {name:<20}  {rejection.reason}")
    return OK


def show_build(settings: Settings, name: str) -> int:
    """One build with its runs."""
    state = make_state(settings)
    build = _find(state, name)
    if build is None:
        rejection = state.rejection(name) or next(
            (found for found in state.rejections() if found.build_id == name), None
        )
        if rejection is None:
            _unknown(name)
            return OK
        print(f"rejected: {rejection.reason}")
        return OK
    print(f"build {build.build_id} ({build.key}): {_status(build)}")
    at = build.commit or build.repository.ref or "its default branch"
    print(f"  {build.repository.url} at {at}")
    print(f"  files: {make_files(settings).location(build.key)}")
    for run in build.runs:
        detail = f"  {describe_failure(run)}" if run.failure is not None else ""
        print(f"  {run.spec.name:<24} {run.status:<10}{detail}")
    if build.last_error and build.open:
        print(f"  last fault: {build.last_error}")
    return OK


def cancel(settings: Settings, name: str) -> int:
    """Cancel every run of a build; its gate fails with that reason."""
    state = make_state(settings)
    build = _find(state, name)
    if build is None:
        return _unknown(name)
    if not build.open:
        print(f"build {build.build_id} has ended: {build.verdict}")
        return OK
    asked = requests.cancel(state, build.key, "The build was canceled by mlgate cancel.")
    print(f"build {build.build_id}: " + ("canceling" if asked else "has just ended"))
    return OK


def _find(state: StatePort, name: str) -> Build | None:
    stored = state.load(name)
    if stored is not None:
        return stored.build
    # Several gates of one pipeline share a build id: one that is still open is meant first.
    known = (*state.open_builds(), *state.builds())
    return next((build for build in known if build.build_id == name), None)


def _unknown(name: str) -> int:
    print(f"mlgate: there is no build {name}; `mlgate builds` lists them", file=sys.stderr)
    return UNKNOWN


def _when(build: Build) -> str:
    return f"{build.received_at:%Y-%m-%d %H:%M}"


def _status(build: Build) -> str:
    if build.verdict is not None:
        return f"{build.verdict}: {build.reason}"
    ended = sum(run.status.ended for run in build.runs)
    running = sum(run.status is RunStatus.RUNNING for run in build.runs)
    return f"{build.phase}: {ended}/{len(build.runs)} runs ended, {running} running"
