"""Doing what a step says: the effects, through the ports, and the build they lead to.

Each function is one step of one build. They raise what the ports raise; the conductor sorts that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import SecretStr

from mlgate.orchestration import steps
from mlgate.orchestration.builds import Build, Phase, RunState, Verdict
from mlgate.orchestration.errors import OrchestrationError, Permanent, UnfitHost
from mlgate.orchestration.gates import describe_failure, judge
from mlgate.orchestration.junit import junit_xml
from mlgate.orchestration.messages import StartMessage
from mlgate.orchestration.page import page_html
from mlgate.orchestration.plan import plan
from mlgate.orchestration.ports import (
    BackendPort,
    BuildFiles,
    Clock,
    PipelinePort,
    QueuePort,
    RepositoryPort,
    StatePort,
)
from mlgate.orchestration.report import result_json
from mlgate.orchestration.results import final_results, results_so_far
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.told import Completion
from mlgate.orchestration.variables import output_variables

log = logging.getLogger("mlgate")


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside. `backend` gives the one that a build asked for, made when first used."""

    state: StatePort
    queue: QueuePort
    repository: RepositoryPort
    pipeline: PipelinePort
    backend: Callable[[Build], BackendPort]
    files: BuildFiles
    clock: Clock


def prepare(ports: Ports, build: Build) -> Build:
    """Stage the commit and find the runs in it; raises `BadMessage` for a bad `runs_from`."""
    collection = build.pipeline.plan_url if build.pipeline else None
    token = ports.state.token(build.key) if build.pipeline else None
    backend = ports.backend(build)
    message = StartMessage.model_validate_json(json.dumps(build.request))
    with ports.repository.checkout(
        build.repository, collection=collection, token=token
    ) as checkout:
        planned = plan(message, checkout)
        specs = [run.spec for run in planned.runs]
        snapshot = backend.stage(checkout, build.repository, specs)
        commit, warnings = checkout.commit, checkout.warnings
    return steps.skip_hopeless(
        replace(
            build,
            phase=Phase.WATCHING,
            pipeline_name=_pipeline_name(ports, build, token),
            commit=commit,
            snapshot=snapshot,
            host=backend.host,
            runs=planned.runs,
            gate=planned.gate,
            warnings=(*build.warnings, *warnings, *planned.warnings),
        )
    )


def _pipeline_name(ports: Ports, build: Build, token: SecretStr | None) -> str | None:
    if build.pipeline is None or token is None:
        return None
    try:
        return ports.pipeline.name(build.pipeline, token)
    except OrchestrationError as error:
        log.info("build %s: its pipeline does not tell its name: %s", build.build_id, error)
        return None


@dataclass(frozen=True, slots=True)
class Judged:
    """A build whose runs have all ended, and what is to be said of it."""

    build: Build
    verdict: Verdict
    reason: str


def judged(build: Build) -> Judged:
    """The verdict over the build as it is."""
    build = steps.settle(build)
    judgment = judge(build)
    build = replace(build, metric_checks=judgment.metric_checks)
    return Judged(build, judgment.verdict, judgment.reason)


def decide(ports: Ports, build: Build) -> Build:
    """Judge, and write the build's files."""
    found = judged(build)
    return conclude(ports, found.build, found.verdict, found.reason)


def conclude(ports: Ports, build: Build, verdict: Verdict, reason: str) -> Build:
    """The build with its verdict, its files written (`result.json` last), completion intended."""
    build = concluded(ports, build, verdict, reason)
    files = ports.files
    for run in build.runs:
        if not run.collected:
            told = f"{describe_failure(run)}\n".encode()
            files.write(build.key, f"runs/{run.spec.name}/log.txt", told)
    listing = {
        run.spec.name: files.list(build.key, f"runs/{run.spec.name}")
        for run in build.runs
        if run.collected
    }
    notebooks = _executed(ports, build, build.runs)
    files.write(build.key, "junit.xml", junit_xml(build, notebooks))
    files.write(build.key, "report.html", page_html(build, notebooks, listing))
    files.write(build.key, "result.json", result_json(build))
    return build


def concluded(ports: Ports, build: Build, verdict: Verdict, reason: str) -> Build:
    """The build with its verdict and its completion intended."""
    return replace(
        build,
        phase=Phase.COMPLETING,
        verdict=verdict,
        reason=reason,
        finished_at=ports.clock.now(),
        errors=0,  # what kept the runs from their end says nothing of the pipeline
    )


def publish_so_far(ports: Ports, build: Build, runs: Sequence[RunState]) -> None:
    """Give the pipeline the results of these runs, which have just ended.

    What does not get there now goes with the next ones, or with all the rest at the end.
    """
    token = ports.state.token(build.key)
    if build.pipeline is not None and token is not None:
        failed = [run for run in runs if run.status is RunStatus.FAILED]
        results = results_so_far(build, runs, _executed(ports, build, failed))
        ports.pipeline.publish(build.pipeline, token, results, ports.files)


def publish(ports: Ports, build: Build) -> Build:
    """Give the pipeline what it keeps of the build; not `published` yet when more is to be done.

    What it does not take is a warning: the verdict matters more.
    """
    token = ports.state.token(build.key)
    done = True
    if build.pipeline is not None and token is not None:
        failed = [run for run in build.runs if run.status is RunStatus.FAILED]
        results = final_results(build, _executed(ports, build, failed))
        try:
            done = ports.pipeline.publish(build.pipeline, token, results, ports.files)
        except Permanent as error:
            return unpublished(build, str(error))
    return replace(build, published=done)


def unpublished(build: Build, why: str) -> Build:
    """The build whose pipeline does without some of its results."""
    log.warning("build %s: the pipeline lacks results: %s", build.build_id, why)
    warning = f"The pipeline does not show everything: {why}"
    return replace(build, published=True, warnings=(*build.warnings, warning))


def post(ports: Ports, build: Build, *, doubt: bool) -> Build:
    """Tell the pipeline, once; then let go of the token and of what only an open build needs.

    `doubt`: it may have been told before. A pipeline that refuses to be told is a warning; a fault
    of this host, or of anything else, is raised.

    The token goes first: a handler that dies right after finds none, and takes the completion
    as confirmed, which it was.
    """
    token = ports.state.token(build.key)
    if build.pipeline is not None and token is not None and not build.pipeline_ended:
        completion = Completion(
            verdict=build.verdict or Verdict.FAILED,
            reason=build.reason,
            findings=build.findings,
            issues=tuple(
                describe_failure(run)
                for run in build.runs
                if run.status in (RunStatus.FAILED, RunStatus.CANCELED)
            ),
            warnings=(
                *build.warnings,
                *(f"{run.spec.name}: {text}" for run in build.runs for text in run.warnings),
            ),
            variables=output_variables(build),
        )
        try:
            ports.pipeline.complete(build.pipeline, token, completion, doubt=doubt)
        except UnfitHost:
            raise
        except Permanent as error:
            build = untold(build, str(error))
    ports.state.forget_token(build.key)
    release(ports, build)
    return replace(build, phase=Phase.COMPLETED)


def untold(build: Build, why: str) -> Build:
    """The build whose pipeline does not hear of its end."""
    log.warning("build %s: the pipeline cannot be told: %s", build.build_id, why)
    warning = f"The pipeline could not be told of the end: {why}"
    return replace(build, warnings=(*build.warnings, warning))


def release(ports: Ports, build: Build) -> None:
    """Free the backend's folders; what is left behind is bounded, so a fault is only logged."""
    try:
        ports.backend(build).release(build.key)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the verdict must not wait for it
        log.warning("build %s: could not release its folders: %s", build.build_id, error)


def _executed(ports: Ports, build: Build, runs: Iterable[RunState]) -> dict[str, bytes]:
    """The executed notebooks among these runs, by name.

    A folder may hold files of an earlier build; only what this one collected is its own.
    """
    notebooks = {}
    for run in runs:
        if run.collected and run.spec.kind is RunKind.NOTEBOOK:
            executed = ports.files.read(build.key, f"runs/{run.spec.name}/executed.ipynb")
            if executed is not None:
                notebooks[run.spec.name] = executed
    return notebooks
