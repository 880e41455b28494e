"""The completion that a build's pipeline receives. Pure."""

from __future__ import annotations

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.telling import Completion
from mlgate.orchestration.verdict.facts import ended_badly
from mlgate.orchestration.verdict.gates import describe_failure
from mlgate.orchestration.verdict.variables import output_variables


def completion_of(build: Build) -> Completion:
    """The verdict with its reason, and a line for each failure and warning."""
    return Completion(
        verdict=build.verdict or Verdict.FAILED,
        reason=build.reason,
        findings=build.findings,
        issues=(
            *(describe_failure(run) for run in build.runs if ended_badly(run)),
            *(str(check) for check in build.checks if check.wrong),
        ),
        warnings=(
            *build.warnings,
            *(f"{run.spec.name}: {text}" for run in build.runs for text in run.warnings),
        ),
        variables=output_variables(build),
    )
