"""`mlgate run`: one message, from start to verdict, on this machine."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.files_handler import FolderFiles, SeparateFiles
from mlgate.hosts.console import View, view
from mlgate.hosts.ending import CANCEL_SECONDS, ENDING, exit_code, show_end
from mlgate.hosts.exit_codes import COULD_NOT_RUN, INTERRUPTED
from mlgate.hosts.home import require
from mlgate.hosts.interrupts import Interrupts
from mlgate.hosts.local_pipeline import LocalBuild, local_pipeline
from mlgate.hosts.locally import policy_here
from mlgate.hosts.output import Output, point_to
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files
from mlgate.hosts.terminal import complain, say_json_text
from mlgate.orchestration.builds import Build, Phase, TroubleKind, Verdict
from mlgate.orchestration.errors import BadMessage, OrchestrationError, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.verdict.result import result_json
from mlgate.orchestration.wire.messages import Request

if TYPE_CHECKING:
    from handlers.local_handler.warm import Begun
    from mlgate.hosts.local_queue import LocalQueue


@dataclass(frozen=True, slots=True)
class Options:
    """How a build is shown, and where its files go."""

    output: Output | None
    as_json: bool
    quiet: bool
    parallel: int | None


def run(
    settings: Settings,
    message: Request,
    raw: Mapping[str, Any],
    options: Options,
    queue: LocalQueue,
    begun: Begun | None = None,
) -> int:
    """Run a valid message; returns the exit code. Raises what prevents it from starting.

    The message goes through `queue`; `begun` is a warm process that runs start from.
    """
    require(settings.home)  # a host that runs for days waits until somebody repairs it
    policy = policy_here(settings, message)
    allowed = replace(
        settings,
        policy=policy,
        parallel=options.parallel or settings.parallel,
    )
    stream = sys.stderr if options.as_json else sys.stdout
    interrupts = Interrupts()
    files_of = partial(_files, settings, options)
    with local_pipeline(allowed, raw, message.attempt, files_of, queue, begun) as local:
        if options.output is not None and "://" not in settings.builds:
            point_to(options.output.folder, Path(settings.builds), local.key)
        try:
            with view(stream, quiet=options.quiet) as shown:
                build = _follow(local, shown, interrupts, policy.backend)
        except BaseException:
            # Whatever happened, do not leave runs that nobody watches.
            interrupts.let_through()
            local.cancel()
            local.wait(CANCEL_SECONDS)
            raise
        if build is None and (rejection := local.rejection()) is not None:
            raise BadMessage(rejection.findings)
        if local.lost:
            complain(
                "mlgate: the message could not be stored, even after several attempts: the state "
                "does not answer. Check the location in MLGATE_STATE."
            )
            return COULD_NOT_RUN
        if build is None or build.open:
            interrupts.let_through()
            return _leave(local)
        if not options.quiet:
            show_end(build, files_of(local.key), stream)
        if options.as_json:
            say_json_text(result_json(build).decode())
    if build.findings:
        raise BadMessage(build.findings)
    canceled = build.verdict is Verdict.CANCELED
    return exit_code(build, interrupted=bool(interrupts) or canceled)


def _follow(local: LocalBuild, shown: View, interrupts: Interrupts, backend: str) -> Build | None:
    """Show the build until it ends or is abandoned; None if it never began."""
    seen = 0
    until = math.inf
    while not local.wait(0.1):
        seen = _show_log(local, shown, seen)
        build = local.state()
        shown.update(build)
        if interrupts and until == math.inf:
            until = time.monotonic() + CANCEL_SECONDS
            shown.line(f"##[warning]canceling: {ENDING[backend]}; press Ctrl-C again to exit now")
            local.cancel()
        rejected = build is None and local.rejection() is not None
        if (lacking := _unfit(build)) is not None:
            raise UnfitHost(lacking)
        if rejected or local.lost or interrupts.again or time.monotonic() > until:
            break
    _show_log(local, shown, seen)
    return local.state()


def _unfit(build: Build | None) -> str | None:
    """What this machine lacks for a build that has not begun; None if nothing.

    A host that runs for days waits until somebody adds it. This command doesn't.
    """
    if build is None or build.phase is not Phase.RECEIVED:
        return None
    return next((each.what for each in build.troubles if each.kind is TroubleKind.UNFIT), None)


def _leave(local: LocalBuild) -> int:
    """Exit before the build is over, after asking its runs to end."""
    complain("mlgate: asking the runs to end, then exiting; press Ctrl-C again to skip that")
    try:
        build = local.leave()
    except OrchestrationError as error:
        build = local.state()
        complain(f"mlgate: some runs could not be asked to end: {error}")
    for run in build.runs if build is not None else ():
        if run.submitted and not run.status.ended:
            place = f": {run.studio_url}" if run.studio_url else ""
            complain(f"  {run.spec.name} may still be running{place}")
    return INTERRUPTED


def _show_log(local: LocalBuild, shown: View, seen: int) -> int:
    """Show the live log's lines after the first `seen`; returns how many there are now."""
    feed = local.task.feed
    for line in feed[seen:]:
        shown.line(line.text)
    return len(feed)


def _files(settings: Settings, options: Options, key: str) -> BuildFiles:
    if (output := options.output) is None:
        return make_files(settings)
    own = FolderFiles(lambda _: output.folder, output.claim)
    return SeparateFiles(key, own, partial(make_files, settings))
