"""`mlgate builds` and `mlgate cancel`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from handlers.blobs.address import ContainerAddress
from handlers.files_handler import FolderFiles
from mlgate.hosts.exit_codes import COULD_NOT_RUN, OK
from mlgate.hosts.history_page import NAME, records_in, report_beside
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files, make_state
from mlgate.hosts.terminal import complain, say
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.builds import Build, Phase, Trouble
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.durable import StatePort
from mlgate.orchestration.engine import saved
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import one_line
from mlgate.orchestration.verdict.files import PAGE
from mlgate.orchestration.verdict.gates import describe_failure
from mlgate.orchestration.verdict.history.page import TITLE, history_html
from mlgate.orchestration.verdict.history.records import Record
from mlgate.orchestration.verdict.history.tables import Link
from mlgate.orchestration.verdict.narration import operation

_BEGINNING = 65_536  # bytes


def show_builds(settings: Settings) -> int:
    """List builds and rejected messages, newest first."""
    state = make_state(settings)
    builds, rejections = state.builds(), state.rejections()
    if not builds and not rejections:
        say(f"No builds in {_place(settings)}. Start one with `mlgate run MESSAGE.json`.")
    for build in builds:
        say(f"{_when(build)}  {build.key}  {build.build_id:<20}  {_status(build)}")
    if rejections:
        if builds:
            say()
        say("rejected messages:")
    for rejection in rejections:
        name = rejection.build_id or rejection.key
        say(
            f"{rejection.received_at:%Y-%m-%d %H:%M}  {name:<20}  {one_line(rejection.reason, 500)}"
        )
    return OK


def write_page(settings: Settings, folder: Path) -> int:
    """Write the history as `index.html` in that folder, which is created if needed.

    Raises `UsageError` if the folder cannot be written or its `index.html` is not ours.
    """
    records = records_in(make_state(settings))
    page = folder / NAME
    try:
        if (
            page.exists()
            and f"<title>{TITLE}</title>".encode() not in page.read_bytes()[:_BEGINNING]
        ):
            raise UsageError(
                f"--html {folder} has an {NAME} that mlgate did not write; move it away, or "
                "choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        html = history_html(records, _reports(settings, folder), SystemClock().now())
        FolderFiles(lambda _: folder).write("", NAME, html)
    except OSError as error:
        raise UsageError(f"--html {folder} cannot be written: {error.strerror}") from error
    say(f"{len(records):,} builds: {page}")
    return OK


def _reports(settings: Settings, folder: Path) -> Link:
    """Links to reports: relative if the page is in the builds' folder, else absolute."""
    if "://" in settings.builds:
        files = ContainerAddress.parse(settings.builds).url
        return lambda record: f"{files}/{record.key}/{PAGE}" if record.report else None
    root = Path(settings.builds).resolve()
    beside = folder.resolve() == root

    def link(record: Record) -> str | None:
        file = root / record.key / PAGE
        if not file.exists():
            return None
        return report_beside(record) if beside else file.as_uri()

    return link


def show_build(settings: Settings, name: str) -> int:
    """Show one build with its runs."""
    state = make_state(settings)
    build = find(state, name)
    if build is None:
        rejection = state.rejection(name) or next(
            (found for found in state.rejections() if found.build_id == name), None
        )
        if rejection is None:
            return unknown(name)
        say(f"rejected: {one_line(rejection.reason, 500)}")
        return OK
    say(f"build {build.build_id} ({build.key}): {_status(build)}")
    at = ""
    if build.repository is not None:
        at = f" at {build.commit or build.repository.ref or 'its default branch'}"
    say(f"  {build.subject}{at}")
    say(f"  {_files(settings, build)}")
    for run in build.runs:
        detail = f"  {one_line(describe_failure(run), 500)}" if run.failure is not None else ""
        say(f"  {run.spec.name:<24} {run.status:<10}{detail}".rstrip())
    for warning in build.warnings:
        say(f"  warning: {one_line(warning, 500)}")
    for line in _troubles(build) if build.open else ():
        say(f"  {line}")
    return OK


def cancel(settings: Settings, name: str) -> int:
    """Cancel every run of a build; its gate fails with that reason."""
    state = make_state(settings)
    build = find(state, name)
    if build is None:
        return unknown(name)
    if not build.open:
        say(f"build {build.build_id} has ended: {build.verdict}")
        return OK
    if build.verdict is not None:
        say(f"build {build.build_id} already has its verdict: {build.verdict}")
        return OK
    asked = saved.cancel(state, build.key, "The build was canceled by mlgate cancel.")
    say(f"build {build.build_id}: " + ("canceling" if asked else "has just ended"))
    return OK


def find(state: StatePort, name: str) -> Build | None:
    """The build with that key, or the latest one with that id; None if there is none."""
    stored = state.load(name)
    if stored is not None:
        return stored.build
    # Several gates of one pipeline share a build id: prefer one that is still open.
    known = (*_open_builds(state), *state.builds())
    return next((build for build in known if build.build_id == name), None)


def _open_builds(state: StatePort) -> Iterator[Build]:
    for due in state.due():
        with suppress(Temporary):  # a record of another version must not hide the others
            if (stored := state.load(due.key)) is not None and stored.build.open:
                yield stored.build


def unknown(name: str) -> int:
    """Report that there is no such build; returns the exit code."""
    shown = one_line(name, 100)
    complain(
        f"mlgate: there is no build {shown}, or no worker has received its message yet; "
        "`mlgate builds` lists them"
    )
    return COULD_NOT_RUN


def _place(settings: Settings) -> str:
    if "://" in settings.state:
        return ContainerAddress.parse(settings.state).url  # without its signature
    return str(Path(settings.state.removeprefix("sqlite:")).absolute())


def _files(settings: Settings, build: Build) -> str:
    files = make_files(settings)
    location = files.location(build.key)
    if build.open or files.tail(build.key, "result.json", 1):
        return f"files: {location}"
    return f"no report in {location}; with `mlgate run --output DIR`, look in DIR"


def _troubles(build: Build) -> Iterator[str]:
    """The troubles of the build and of its runs, one line each."""
    for trouble in build.troubles:
        yield _trouble("", trouble)
    for run in build.runs:
        for trouble in run.troubles:
            yield _trouble(f"{run.spec.name}: ", trouble)


def _trouble(whose: str, trouble: Trouble) -> str:
    times = "once" if trouble.times == 1 else f"{trouble.times} times"
    since = f"{trouble.since:%Y-%m-%d %H:%M} UTC"
    what = one_line(trouble.what, 500)
    return f"trouble: {whose}{trouble.step} failed {times} since {since}: {what}"


def _when(build: Build) -> str:
    return f"{build.received_at:%Y-%m-%d %H:%M}"


def _status(build: Build) -> str:
    if build.verdict is not None:
        rest = " (its files or its pipeline step are not done yet)" if build.open else ""
        return f"{build.verdict}: {one_line(build.reason, 500)}{rest}"
    if build.phase is Phase.RECEIVED:
        return f"{build.phase}: {operation(build)}"
    if build.phase is Phase.PROMOTING:
        return operation(build)
    ended = sum(run.status.ended for run in build.runs)
    running = sum(run.status is RunStatus.RUNNING for run in build.runs)
    asked = build.cancel_requested is not None or build.ending_since is not None
    ending = ", to be canceled" if asked else ""
    return f"{build.phase}: {ended}/{len(build.runs)} runs ended, {running} running{ending}"
