"""What a command that waited for a build shows at the end, and its exit code."""

from __future__ import annotations

from datetime import timedelta
from typing import TextIO

from mlgate.hosts.console import summary
from mlgate.hosts.exit_codes import COULD_NOT_RUN, FAILED, INTERRUPTED, OK
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.engine.pace import ENDING_GRACE
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import RunStatus

# A canceled build ends within its grace, whatever its runs do. We wait a little longer.
CANCEL_SECONDS = (ENDING_GRACE + timedelta(minutes=2)).total_seconds()
ENDING = {
    "local": "the runs get a few seconds to end",
    "azureml": f"Azure ML gets {ENDING_GRACE.seconds // 60} minutes at most to end the runs",
}
_LOG_LIMIT = 64 * 1024  # bytes read from the end of a failed run's log


def show_end(build: Build, files: BuildFiles, stream: TextIO) -> None:
    """Show the build's runs, failures and verdict, and where its files are."""
    try:
        report, logs = _report(build, files), _failing_logs(build, files)
    except OrchestrationError as error:  # the verdict is known without them
        report, logs = f"files: {files.location(build.key)}, which cannot be read: {error}", {}
    summary(build, report, logs, stream)


def exit_code(build: Build, *, interrupted: bool) -> int:
    """The exit code of a command that waited for an ended build."""
    if interrupted:
        return INTERRUPTED
    if build.verdict is Verdict.SUCCEEDED:
        return OK
    if build.verdict is None or build.infrastructure:
        return COULD_NOT_RUN
    return FAILED


def _report(build: Build, files: BuildFiles) -> str:
    """Where the report is, or the build's folder if no report was written."""
    location = files.location(build.key)
    there = files.tail(build.key, "report.html", 1)
    return f"report: {location}/report.html" if there else f"files: {location}"


def _failing_logs(build: Build, files: BuildFiles) -> dict[str, str]:
    logs = {}
    for found in build.runs:
        if found.status is RunStatus.FAILED:
            name = found.spec.name
            log = files.tail(build.key, f"runs/{name}/log.txt", _LOG_LIMIT)
            logs[name] = log.decode("utf-8", "replace")
    return logs
