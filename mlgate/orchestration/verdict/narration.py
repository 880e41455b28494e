"""What changed between two states of a build, as lines for its live log. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from mlgate.orchestration.builds import Build, Phase, RunState, Trouble, TroubleKind
from mlgate.orchestration.checks import Check
from mlgate.orchestration.promotions import Promotion
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import number
from mlgate.orchestration.verdict.facts import run_seconds
from mlgate.orchestration.verdict.gates import describe_failure

# A live log is read as it grows; `result.json` has them all.
_WARNINGS, _METRICS = 50, 20


def narrate(before: Build, after: Build) -> list[str]:
    """The lines to add to the log, in the order of the runs; none when nothing is new."""
    lines: list[str] = []
    if before.commit is None and after.commit is not None:
        noun = "run" if len(after.runs) == 1 else "runs"
        lines.append(
            f"##[section]{after.subject} at {after.commit[:12]}: "
            f"{len(after.runs)} {noun} on {after.backend}"
        )
        lines += _warnings("", after.warnings)
    known = {run.spec.name: run for run in before.runs}
    for run in after.runs:
        was = known.get(run.spec.name)
        if was is not run:  # most runs are those of before
            lines += _narrate_run(was or RunState(run.spec), run)
    lines += [
        f"##[warning]{trouble.what} Trying again."
        for trouble in after.troubles
        if _began(trouble) not in map(_began, before.troubles)
    ]
    lines += _narrate_verification(before.promotion, after.promotion)
    if before.ending_since is None and after.ending_since is not None:
        lines.append("##[warning]Ending the build: canceling what is not finished")
    if not before.checks:
        lines += [_check(check) for check in after.checks]
    if before.verdict is None and after.verdict is not None:
        tag = "##[section]" if after.verdict == "succeeded" else "##[error]"
        lines.append(f"{tag}{after.verdict}: {after.reason}")
    return lines


def operation(build: Build) -> str:
    """What goes on now, in a few words: "3/7 runs, train: cell 12/40"."""
    if build.phase is Phase.RECEIVED:
        if build.is_check:
            return "making checks"
        return "checking out the repository" if build.repository else "reading the model"
    if build.phase is Phase.PROMOTING and build.promotion is not None:
        return _promoting(build.promotion)
    if build.is_check:
        return f"{len(build.checks)} checks made"
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


def _promoting(promotion: Promotion) -> str:
    verification = promotion.verification
    if verification is None:
        return f"promoting {promotion.model}"
    if verification.failed is None:
        return f"verifying {promotion.model}@{promotion.id} at {verification.request.url}"
    return f"undoing the promotion of {promotion.model}@{promotion.id}"


def _narrate_verification(before: Promotion | None, after: Promotion | None) -> Iterator[str]:
    verification = None if after is None else after.verification
    if after is None or verification is None:
        return
    known = None if before is None else before.verification
    if known is None:
        yield f"{after.reason} Waiting for {verification.request.url} to answer with it."
    if verification.seen and (known is None or verification.seen != known.seen):
        yield f"{verification.request.url}: {verification.seen}"
    if verification.undo is not None and (known is None or known.undo is None):
        yield f"##[error]{verification.failed} Undoing entry {after.number} of {after.model}."


def _check(check: Check) -> str:
    """A row of the table; `##[error]` is red."""
    tag = "##[error]" if check.wrong else ""
    status = check.status.replace("_", " ")
    return f"{tag}{status:<14}  {check.name:<24}  {check.says} {check.remedy}".rstrip()


def _narrate_run(before: RunState, after: RunState) -> list[str]:
    name = after.spec.name
    lines: list[str] = []
    if after.attempt > before.attempt:
        why = after.warnings[-1] if after.warnings else "did not succeed."
        lines.append(f"##[warning]{name}: {why} Trying again.")
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
        metrics, seconds = _metrics(run.metrics), run_seconds(run)
        took = "" if seconds is None else f" in {seconds:.1f} s"
        lines = [f"{name}: passed{took}" + (f" ({metrics})" if metrics else "")]
    else:
        lines = [f"##[error]{describe_failure(run)}"]
    return lines + _warnings(f"{name}: ", run.warnings)


def _metrics(metrics: Mapping[str, float]) -> str:
    first = sorted(metrics.items())[:_METRICS]
    told = ", ".join(f"{key} {number(value)}" for key, value in first)
    more = len(metrics) - len(first)
    return f"{told} and {more} more" if more else told


def _began(trouble: Trouble) -> tuple[str, TroubleKind, datetime]:
    """Stays the same as long as a problem lasts, however often it occurs."""
    return trouble.step, trouble.kind, trouble.since


def _warnings(of: str, warnings: Sequence[str]) -> list[str]:
    lines = [f"##[warning]{of}{warning}" for warning in warnings[:_WARNINGS]]
    more = len(warnings) - _WARNINGS
    return [*lines, f"##[warning]{of}and {more} more warnings"] if more > 0 else lines
