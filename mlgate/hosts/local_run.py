"""`mlgate run`: one message, the whole way, on this machine."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handlers.files_handler import FolderFiles
from mlgate.hosts.assembly import make_files
from mlgate.hosts.console import View, summary, view
from mlgate.hosts.local_pipeline import LocalBuild, local_pipeline
from mlgate.hosts.settings import Settings
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.allowlist import without_azure_user
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.messages import StartMessage
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import RunStatus

PASSED, GATE_FAILED, INVALID, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 3, 130

_CANCEL_SECONDS = 120.0  # far beyond the runs' own grace; then we say what is left
_OF_A_BUILD = ("result.json", "junit.xml", "report.html")
_LOG_LIMIT = 64 * 1024  # bytes of a failing run's log that are read for its tail


@dataclass(frozen=True, slots=True)
class Options:
    output: Path | None
    as_json: bool
    quiet: bool
    parallel: int | None


def run(settings: Settings, message: StartMessage, raw: Mapping[str, Any], options: Options) -> int:
    """Run a valid message; returns the exit code. Raises what cannot be started."""
    policy = replace(
        settings.policy,
        backend=message.backend or settings.policy.backend,
        allowed_backends=(message.backend or settings.policy.backend,),
        allowed_workspaces=_named_workspace(message) or settings.policy.allowed_workspaces,
        allowed_repositories=(without_azure_user(message.repository.url),),
    )
    allowed = replace(
        settings,
        policy=policy,
        parallel=options.parallel or settings.parallel,
    )
    files = _files(settings, options.output)
    stream = sys.stderr if options.as_json else sys.stdout
    # Not an Event, whose lock a second signal would wait for inside the first one's handler.
    interrupts: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: interrupts.append(number))
    with local_pipeline(allowed, raw, message.attempt, files) as local:
        try:
            with view(stream, quiet=options.quiet) as shown:
                build = _follow(local, shown, interrupts)
        except BaseException:
            # Whatever happened here, the runs must not go on unwatched.
            local.cancel()
            local.wait(_CANCEL_SECONDS)
            raise
        if build is None:
            return _never_began(local)
        if not options.quiet:
            summary(build, files.location(build.key), _failing_logs(build, files), stream)
        if options.as_json:
            sys.stdout.write((files.read(build.key, "result.json") or b"").decode())
    if build.findings:
        raise BadMessage(build.findings)
    return INTERRUPTED if interrupts else _exit_code(build)


def _never_began(local: LocalBuild) -> int:
    rejection = local.rejection()
    if rejection is not None:
        raise BadMessage(rejection.findings)
    return INTERRUPTED


def _follow(local: LocalBuild, shown: View, interrupts: Sequence[int]) -> Build | None:
    """Show the build until it is over; None when it never began."""
    told = 0
    canceling = False
    waited = 0.0
    while not local.wait(0.1):
        told = _tell(local, shown, told)
        shown.update(local.state())
        if interrupts and not canceling:
            canceling = True
            shown.line("##[warning]canceling: the runs get a few seconds to end")
            local.cancel()
        if canceling:
            waited += 0.1
        if waited > _CANCEL_SECONDS or (local.state() is None and local.rejection() is not None):
            break
    _tell(local, shown, told)
    return local.state()


def _tell(local: LocalBuild, shown: View, told: int) -> int:
    feed = local.task.feed
    for line in feed[told:]:
        shown.line(line.text)
    return len(feed)


def clear(output: Path) -> None:
    """Remove what an earlier build left there: it must not be taken for what this one says.

    Raises `UsageError` for a place that cannot be written.
    """
    with _writing(output):
        if any((output / name).exists() for name in _OF_A_BUILD):
            for name in _OF_A_BUILD:
                (output / name).unlink(missing_ok=True)
            shutil.rmtree(output / "runs", ignore_errors=True)


def _files(settings: Settings, output: Path | None) -> BuildFiles:
    if output is None:
        return make_files(settings)
    folder = output.absolute()
    with _writing(output):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return FolderFiles(lambda _: folder)


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"--output {output} cannot be written: {error.strerror}") from error


def _failing_logs(build: Build, files: BuildFiles) -> dict[str, str]:
    logs = {}
    for found in build.runs:
        if found.status is RunStatus.FAILED:
            name = found.spec.name
            log = files.read(build.key, f"runs/{name}/log.txt") or b""
            logs[name] = log[-_LOG_LIMIT:].decode("utf-8", "replace")
    return logs


def _named_workspace(message: StartMessage) -> tuple[str, ...]:
    return () if message.workspace is None else (str(message.workspace),)


def _exit_code(build: Build) -> int:
    if build.verdict is Verdict.SUCCEEDED:
        return PASSED
    if build.verdict is Verdict.CANCELED:
        return INTERRUPTED
    if build.verdict is None or build.infrastructure:
        return COULD_NOT_RUN
    return GATE_FAILED
