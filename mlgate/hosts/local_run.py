"""`mlgate run`: one message, the whole way, on this machine."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from handlers.files_handler import FolderFiles
from mlgate.hosts.console import View, summary, view
from mlgate.hosts.local_pipeline import LocalBuild, local_pipeline
from mlgate.hosts.locally import policy_here
from mlgate.hosts.output import point_to
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files
from mlgate.hosts.terminal import complain, say_json_text
from mlgate.orchestration.builds import Build, Phase, TroubleKind, Verdict
from mlgate.orchestration.engine.pace import ENDING_GRACE
from mlgate.orchestration.errors import BadMessage, OrchestrationError, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.verdict.result import result_json
from mlgate.orchestration.wire.messages import Request

PASSED, GATE_FAILED, INVALID, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 3, 130

# A build ends by itself after its grace; what is at hand when it is canceled comes before that.
_CANCEL_SECONDS = (ENDING_GRACE + timedelta(minutes=2)).total_seconds()
_ENDING = {
    "local": "the runs get a few seconds to end",
    "azureml": f"Azure ML gets {ENDING_GRACE.seconds // 60} minutes at most to end the runs",
}
_LOG_LIMIT = 64 * 1024  # bytes of a failing run's log that are read for its tail


@dataclass(frozen=True, slots=True)
class Options:
    output: Path | None
    as_json: bool
    quiet: bool
    parallel: int | None


def run(settings: Settings, message: Request, raw: Mapping[str, Any], options: Options) -> int:
    """Run a valid message; returns the exit code. Raises what cannot be started."""
    policy = policy_here(settings, message)
    allowed = replace(
        settings,
        policy=policy,
        parallel=options.parallel or settings.parallel,
    )
    files = _files(settings, options.output)
    stream = sys.stderr if options.as_json else sys.stdout
    interrupts = _Interrupts()
    with local_pipeline(allowed, raw, message.attempt, files) as local:
        if options.output is not None and "://" not in settings.builds:
            point_to(options.output, Path(settings.builds), local.key)
        try:
            with view(stream, quiet=options.quiet) as shown:
                build = _follow(local, shown, interrupts, policy.backend)
        except BaseException:
            # Whatever happened here, the runs must not go on unwatched.
            interrupts.let_through()
            local.cancel()
            local.wait(_CANCEL_SECONDS)
            raise
        if build is None and (rejection := local.rejection()) is not None:
            raise BadMessage(rejection.findings)
        if local.lost:
            complain(
                "mlgate: the message could not be stored, however often it was tried: the state "
                "does not answer. Check the place that MLGATE_STATE names."
            )
            return COULD_NOT_RUN
        if build is None or build.open:
            interrupts.let_through()
            return _leave(local)
        if not options.quiet:
            summary(build, _report(build, files), _failing_logs(build, files), stream)
        if options.as_json:
            say_json_text(result_json(build).decode())
    if build.findings:
        raise BadMessage(build.findings)
    return INTERRUPTED if interrupts else _exit_code(build)


class _Interrupts:
    """The signals that ask to end, from the moment that this is made.

    What comes within a second is one: a program that started this one may pass on the signal that
    the terminal gave to both.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _ONE = 1.0  # seconds

    def __init__(self) -> None:
        # Not an Event, whose lock a second signal would wait for inside the first one's handler.
        self._at: list[float] = []
        for number in self._NUMBERS:
            signal.signal(number, lambda *_: self._at.append(time.monotonic()))

    def __bool__(self) -> bool:
        return bool(self._at)

    @property
    def again(self) -> bool:
        return bool(self._at) and self._at[-1] > self._at[0] + self._ONE

    def let_through(self) -> None:
        """The next one ends this process, whatever it does."""
        for number in self._NUMBERS:
            signal.signal(number, signal.SIG_DFL)


def _follow(local: LocalBuild, shown: View, interrupts: _Interrupts, backend: str) -> Build | None:
    """Show the build until it is over, or left; None when it never began."""
    told = 0
    until = math.inf
    while not local.wait(0.1):
        told = _tell(local, shown, told)
        shown.update(local.state())
        if interrupts and until == math.inf:
            until = time.monotonic() + _CANCEL_SECONDS
            shown.line(f"##[warning]canceling: {_ENDING[backend]}; Ctrl-C again leaves at once")
            local.cancel()
        rejected = local.state() is None and local.rejection() is not None
        if (lacking := _unfit(local.state())) is not None:
            raise UnfitHost(lacking)
        if rejected or local.lost or interrupts.again or time.monotonic() > until:
            break
    _tell(local, shown, told)
    return local.state()


def _unfit(build: Build | None) -> str | None:
    """What this machine lacks for a build that has not begun: nobody gives it that meanwhile, as
    somebody may give it to a host that runs for days."""
    if build is None or build.phase is not Phase.RECEIVED:
        return None
    return next((each.what for each in build.troubles if each.kind is TroubleKind.UNFIT), None)


def _leave(local: LocalBuild) -> int:
    """Go before the build is over; what is left of it ends without us."""
    complain("mlgate: asking the runs to end, then leaving; Ctrl-C again leaves without that")
    try:
        build = local.leave()
    except OrchestrationError as error:
        build = local.state()
        complain(f"mlgate: not every run could be asked to end: {error}")
    for run in build.runs if build is not None else ():
        if run.submitted and not run.status.ended:
            place = f": {run.studio_url}" if run.studio_url else ""
            complain(f"  {run.spec.name} was not seen to end{place}")
    return INTERRUPTED


def _tell(local: LocalBuild, shown: View, told: int) -> int:
    feed = local.task.feed
    for line in feed[told:]:
        shown.line(line.text)
    return len(feed)


def _files(settings: Settings, output: Path | None) -> BuildFiles:
    if output is None:
        return make_files(settings)
    folder = output.absolute()
    return FolderFiles(lambda _: folder)


def _failing_logs(build: Build, files: BuildFiles) -> dict[str, str]:
    logs = {}
    for found in build.runs:
        if found.status is RunStatus.FAILED:
            name = found.spec.name
            log = files.tail(build.key, f"runs/{name}/log.txt", _LOG_LIMIT)
            logs[name] = log.decode("utf-8", "replace")
    return logs


def _report(build: Build, files: BuildFiles) -> str:
    """Where to read on; the page may not have been written."""
    location = files.location(build.key)
    there = files.tail(build.key, "report.html", 1)
    return f"report: {location}/report.html" if there else f"files: {location}"


def _exit_code(build: Build) -> int:
    if build.verdict is Verdict.SUCCEEDED:
        return PASSED
    if build.verdict is Verdict.CANCELED:
        return INTERRUPTED
    if build.verdict is None or build.infrastructure:
        return COULD_NOT_RUN
    return GATE_FAILED
