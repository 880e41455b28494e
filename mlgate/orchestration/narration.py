"""What changed between two states of a build, told in lines for its live log. Pure."""

from __future__ import annotations

from mlgate.orchestration.builds import Build, Phase, RunState
from mlgate.orchestration.gates import describe_failure
from mlgate.orchestration.runs import RunStatus


def narrate(before: Build, after: Build) -> list[str]:
    """The lines to add to the log, in the order of the runs; none when nothing is new."""
    lines: list[str] = []
    if before.commit is None and after.commit is not None:
        noun = "run" if len(after.runs) == 1 else "runs"
        lines.append(
            f"##[section]{after.repository.url} at {after.commit[:12]}: "
            f"{len(after.runs)} {noun} on {after.backend}"
        )
        lines += [f"##[warning]{warning}" for warning in after.warnings]
    known = {run.spec.name: run for run in before.runs}
    for run in after.runs:
        lines += _narrate_run(known.get(run.spec.name, RunState(run.spec)), run)
    if after.last_error and after.last_error != before.last_error:
        lines.append(f"##[warning]{after.last_error} Trying again.")
    if before.ending_since is None and after.ending_since is not None:
        lines.append("##[warning]Ending the build: canceling what is not finished")
    if before.phase is not Phase.COMPLETING and after.phase is Phase.COMPLETING:
        tag = "##[section]" if after.verdict == "succeeded" else "##[error]"
        lines.append(f"{tag}{after.verdict}: {after.reason}")
    return lines


def operation(build: Build) -> str:
    """What goes on now, in a few words: "3/7 runs, train: cell 12/40"."""
    if build.phase is Phase.RECEIVED:
        return "checking out the repository"
    ended = sum(run.status.ended for run in build.runs)
    text = f"{ended}/{len(build.runs)} runs"
    current = next((run for run in build.runs if run.status is RunStatus.RUNNING), None)
    if current is None:
        current = next((run for run in build.runs if run.active and run.activity), None)
    if current is None:
        return text
    if current.status is RunStatus.QUEUED:
        return f"{text}, {current.spec.name}: {current.activity}"
    if not current.cells_total:
        return f"{text}, {current.spec.name}"
    cell = min(len(current.cells) + 1, current.cells_total)
    return f"{text}, {current.spec.name}: cell {cell}/{current.cells_total}"


def _narrate_run(before: RunState, after: RunState) -> list[str]:
    name = after.spec.name
    lines: list[str] = []
    if after.attempt > before.attempt:
        lines.append(f"##[warning]{name}: {after.warnings[-1]} Trying again.")
        before = RunState(after.spec, attempt=after.attempt)
    if after.studio_url and not before.studio_url:
        lines.append(f"{name}: {after.studio_url}")
    if after.activity and after.activity != before.activity:
        lines.append(f"{name}: {after.activity}")
    if before.status is RunStatus.QUEUED and (after.started_at and not before.started_at):
        lines.append(f"{name}: started")
    total = f"/{after.cells_total}" if after.cells_total else ""
    lines += [
        f"{name}: cell {cell.number}{total} {cell.status} in {cell.seconds:.1f} s"
        for cell in after.cells[len(before.cells) :]
    ]
    if after.status.ended and not before.status.ended:
        lines += _narrate_end(after)
    return lines


def _narrate_end(run: RunState) -> list[str]:
    name = run.spec.name
    if run.status is RunStatus.SUCCEEDED:
        metrics = ", ".join(f"{key} {value:g}" for key, value in sorted(run.metrics.items()))
        took = ""
        if run.started_at and run.finished_at:
            took = f" in {(run.finished_at - run.started_at).total_seconds():.1f} s"
        lines = [f"{name}: passed{took}" + (f" ({metrics})" if metrics else "")]
    else:
        lines = [f"##[error]{describe_failure(run)}"]
    return lines + [f"##[warning]{name}: {warning}" for warning in run.warnings]
