"""Results of the runs -> verdict with its reason. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlgate.orchestration.builds import Build, Gate, GateMetric, MetricCheck, RunState, Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import as_float, minutes, number
from mlgate.orchestration.verdict.facts import listed
from mlgate.orchestration.wire.messages import StartMessage

_DEADLINE = StartMessage.model_fields["deadline_minutes"].default
_NAMED_IN_REASON = 5  # runs named one by one before the rest is only counted


@dataclass(frozen=True, slots=True)
class Judgment:
    verdict: Verdict
    reason: str
    metric_checks: tuple[MetricCheck, ...]


def judge(build: Build) -> Judgment:
    """The verdict over runs that have all ended.

    A build whose pipeline ended is canceled, whatever its runs did. A build that mlgate canceled,
    or whose deadline passed, has failed for that reason, unless every run had already ended by
    itself.
    """
    checks = tuple(_check(metric, build.runs) for metric in build.gate.metrics)
    unfinished = any(_cut_short(run) for run in build.runs)
    if build.pipeline_ended:
        what = "all runs had ended" if unfinished else "the verdict"
        return Judgment(Verdict.CANCELED, f"Canceled before {what}.", checks)
    if build.ending_since is not None and (unfinished or not build.runs):
        return Judgment(Verdict.FAILED, _ending_reason(build), checks)
    canceled = [run for run in build.runs if run.status is RunStatus.CANCELED]
    if canceled:
        names = listed([run.spec.name for run in canceled])
        return Judgment(Verdict.FAILED, f"Canceled outside mlgate: {names}.", checks)
    passed, reason = _condition(build.gate, build.runs)
    failed_checks = [check.reason for check in checks if not check.passed]
    if passed and not failed_checks:
        return Judgment(Verdict.SUCCEEDED, reason + _metrics_held(checks), checks)
    if passed:
        return Judgment(Verdict.FAILED, _sentence("; ".join(failed_checks)), checks)
    return Judgment(Verdict.FAILED, _sentence("; ".join([reason, *failed_checks])), checks)


def describe_failure(run: RunState) -> str:
    """One line: the run, the kind of failure, the cell and the message."""
    name = run.spec.name
    if run.status is RunStatus.SKIPPED:
        return f"{name} was skipped: a run it needs did not pass"
    if run.failure is None:
        return f"{name} was {run.status}" if run.status.ended else f"{name} did not end"
    cell = "" if run.failure.cell is None else f", cell {run.failure.cell}"
    return f"{name} {run.status} ({run.failure.kind}{cell}): {run.failure.message}"


def _condition(gate: Gate, runs: Sequence[RunState]) -> tuple[bool, str]:
    """Whether it holds, and the reason.

    An added run checks the model that another run kept, so its pass does not count: alone it must
    not satisfy `any_pass` or `at_least`. If it fails, there is no candidate and the promotion is
    refused, even when the gate passes.
    """
    if gate.condition != "all_pass":
        runs = [run for run in runs if run.spec.name not in gate.added]
    passed = sum(run.status is RunStatus.SUCCEEDED for run in runs)
    total = len(runs)
    if gate.condition == "all_pass":
        wanted = total
    elif gate.condition == "any_pass":
        wanted = 1
    else:
        wanted = int(gate.condition)
    noun = "run" if total == 1 else "runs"
    if passed >= wanted and total > 0:
        return True, f"{passed} of {total} {noun} passed"
    asked = "all must pass" if gate.condition == "all_pass" else f"at least {wanted} must pass"
    return False, f"{passed} of {total} {noun} passed; {asked}. {_name_failures(runs)}".rstrip()


def _name_failures(runs: Sequence[RunState]) -> str:
    # What failed by itself explains more than what was skipped because of it.
    culprits = [run for run in runs if run.status in (RunStatus.FAILED, RunStatus.CANCELED)]
    named = "; ".join(describe_failure(run) for run in culprits[:_NAMED_IN_REASON])
    more = len(culprits) - _NAMED_IN_REASON
    return f"{named}; and {more} more" if more > 0 else named


def _check(metric: GateMetric, runs: Sequence[RunState]) -> MetricCheck:
    run = next((run for run in runs if run.spec.name == metric.run), None)
    value = None if run is None else run.metrics.get(metric.metric)
    if value is not None and math.isnan(as_float(value)):
        value = None
    name = f"{metric.run}: {metric.metric}"
    if run is None or run.status is not RunStatus.SUCCEEDED:
        return MetricCheck(metric, value, False, f"{name} has no value: the run did not pass")
    if value is None:
        return MetricCheck(metric, None, False, f"{name} is missing or not a number")
    if metric.at_least is not None and value < metric.at_least:
        return MetricCheck(
            metric,
            value,
            False,
            f"{name} is {number(value)}, must be at least {number(metric.at_least)}",
        )
    if metric.at_most is not None and value > metric.at_most:
        return MetricCheck(
            metric,
            value,
            False,
            f"{name} is {number(value)}, must be at most {number(metric.at_most)}",
        )
    return MetricCheck(metric, value, True, f"{name} is {number(value)}")


def _metrics_held(checks: Sequence[MetricCheck]) -> str:
    if not checks:
        return "."
    return f", and {'; '.join(check.reason for check in checks)}."


def _cut_short(run: RunState) -> bool:
    return run.status in (RunStatus.CANCELED, RunStatus.QUEUED, RunStatus.RUNNING)


def _ending_reason(build: Build) -> str:
    if build.cancel_requested is not None:
        return _sentence(build.cancel_requested)
    limit = minutes(float(build.request.get("deadline_minutes", _DEADLINE)))
    unfinished = [run.spec.name for run in build.runs if _cut_short(run)]
    if not unfinished:
        what = "the repository was checked out" if build.repository else "the model was read"
        return f"The deadline of {limit} passed before {what}."
    return f"The deadline of {limit} passed before these runs ended: {listed(unfinished)}."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
