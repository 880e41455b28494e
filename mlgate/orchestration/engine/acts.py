"""Doing what a step says: the effects, through the ports, and the build they lead to.

Each function is one step of one build. They raise what the ports raise; the turn sorts that.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from pydantic import SecretStr

from mlgate.orchestration.admission.allowed_models import ModelPolicy
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.checks import conclusion
from mlgate.orchestration.engine import progress
from mlgate.orchestration.engine.promoting.current import staged
from mlgate.orchestration.engine.promoting.permission import require, require_service
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.findings import Code
from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.ports import Asked, Ports
from mlgate.orchestration.promotions import Promotion, PromotionOutcome, PromotionRequest
from mlgate.orchestration.runs import Failure, FailureKind, RunStatus
from mlgate.orchestration.telling import Completion
from mlgate.orchestration.verdict.completion import completion_of
from mlgate.orchestration.verdict.evidence import no_notebooks, notebooks_in
from mlgate.orchestration.verdict.files import Part, parts_of
from mlgate.orchestration.verdict.gates import judge
from mlgate.orchestration.verdict.results import final_results
from mlgate.orchestration.wire.messages import StartMessage, message_of
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage

log = logging.getLogger("mlgate")

PLAIN = "plain "  # in `Build.written`, before the name of what is done without text of others
COMPLETION = "completion"  # the name of the completion there
PARTS = "files"  # the name of all files there, when not even their names are known
_DENIED = (Code.MODEL_NOT_ALLOWED, Code.SERVICE_NOT_ALLOWED)
NOT_FOLLOWED = "mlgate lost track of the run."


def prepare(ports: Ports, build: Build, models: ModelPolicy) -> Build:
    """Stage the commit and find the runs in it.

    Raises `BadMessage` for a bad `runs_from`, and for a model that the commit may not change.
    """
    if build.is_check:
        return examined(ports, build)
    message = message_of(build.request)
    if isinstance(message, PromoteMessage | RollbackMessage):
        return replace(build, phase=Phase.PROMOTING)
    collection = build.pipeline.plan_url if build.pipeline else None
    token = ports.state.token(build.key) if build.pipeline else None
    backend = ports.backend(build)
    assert isinstance(message, StartMessage)
    assert build.repository is not None
    with ports.repository.checkout(
        build.repository, collection=collection, token=token
    ) as checkout:
        planned = plan(message, checkout)
        commit, warnings = checkout.commit, checkout.warnings
        if planned.promote is not None:
            where = planned.sources[planned.runs[-1].spec.name]
            source = replace(build, commit=commit)
            require(ports, models, source, source, planned.promote.model, f"{where}/model")
            require_service(models, planned.promote.verify, f"{where}/verify/url")
        specs = [run.spec for run in planned.runs]
        snapshot = backend.stage(checkout, build.repository, specs)
    prepared = replace(
        build,
        phase=Phase.WATCHING,
        commit=commit,
        snapshot=snapshot,
        host=backend.host,
        runs=planned.runs,
        gate=planned.gate,
        promote=planned.promote,
        promotion=_promotion(planned.promote),
        warnings=(*build.warnings, *warnings, *planned.warnings),
        troubles=(),
    )
    return progress.skip_hopeless(staged(ports, prepared, backend))


def _promotion(offer: PromotionRequest | None) -> Promotion | None:
    return None if offer is None else Promotion(offer.model, verify=offer.verify)


def examined(ports: Ports, build: Build) -> Build:
    """Make the checks that the build is for, which are its verdict."""
    token = ports.state.token(build.key) if build.pipeline else None
    asked = Asked(build.backend, build.workspace, build.repository, build.pipeline, token)
    checks = tuple(ports.doctor.examine(asked))
    wrong = any(check.wrong for check in checks)
    verdict = Verdict.FAILED if wrong else Verdict.SUCCEEDED
    return concluded(ports, replace(build, checks=checks), verdict, conclusion(checks))


def judged(ports: Ports, build: Build) -> Build:
    """The build with its verdict; what has not ended by now is given up."""
    build = _given_up(build)
    judgment = judge(build)
    build = replace(build, metric_checks=judgment.metric_checks)
    if judgment.verdict is Verdict.SUCCEEDED:
        build = replace(build, gate_passed=judgment.reason)
        if build.promote is not None:  # its model is to be weighed
            return replace(
                build,
                phase=Phase.PROMOTING,
                reason=judgment.reason,
                troubles=(),
                ended_at=build.ended_at or ports.clock.now(),
            )
    return concluded(ports, build, judgment.verdict, judgment.reason)


def concluded(ports: Ports, build: Build, verdict: Verdict, reason: str) -> Build:
    """The build with that verdict, and its completion intended."""
    now = ports.clock.now()
    promotion = build.promotion
    if promotion is not None and promotion.outcome is None:
        denied = any(each.code in _DENIED for each in build.findings)
        outcome = PromotionOutcome.REFUSED if denied else PromotionOutcome.NOT_REACHED
        promotion = replace(promotion, outcome=outcome, reason=reason)
    return replace(
        build,
        promotion=promotion,
        phase=Phase.COMPLETING,
        verdict=verdict,
        reason=reason,
        finished_at=now,
        troubles=(),
        ended_at=build.ending_since or build.ended_at or now,
    )


def _given_up(build: Build) -> Build:
    """Runs that ended and were not collected fail. So do the others if their state was unknown;
    else they were canceled."""
    unknown = [each.what for each in build.troubles if each.step in (Doing.LOOK, Doing.CANCEL)]
    for run in build.runs:
        if run.ended and not run.status.ended:
            why = run.troubles[-1].what if run.troubles else unknown[-1] if unknown else ""
            said = f"Its results could not be collected: {why}".rstrip(": ")
            failure = Failure(FailureKind.INFRASTRUCTURE, said)
            build = build.with_run(
                replace(run, status=RunStatus.FAILED, ended=False, failure=failure, activity=None)
            )
    if unknown:
        return progress.abandon(build, unknown[-1])
    return progress.count_as_canceled(build)


def next_part(build: Build) -> Part | None:
    """The next of the build's files to be written; None when all were, or were given up."""
    if PARTS in build.written:
        return None
    return next((part for part in parts_of(build) if part.name not in build.written), None)


def write(ports: Ports, build: Build, part: Part) -> Build:
    """Write one part of the build's files; without notebooks where that was decided."""
    plain = is_plain(build, part.name)
    for path, content in part.files(no_notebooks if plain else notebooks_in(ports.files, build)):
        ports.files.write(build.key, path, content)
    return replace(build, written=(*build.written, part.name))


def writing(build: Build, name: str) -> str:
    """The step of writing that part; without notebooks it is another one."""
    plain = PLAIN if is_plain(build, name) else ""
    return f"{Doing.WRITE}:{plain}{name}"


def part_of(step: str) -> str:
    """The part that the step of writing it names, or all of them."""
    return step.partition(":")[2].removeprefix(PLAIN) or PARTS


def is_plain(build: Build, name: str) -> bool:
    """Whether that part is written without text of others."""
    return PLAIN + name in build.written


def plainly(build: Build, name: str) -> Build:
    """The build whose part of that name is to be written without text of others."""
    return (
        build if is_plain(build, name) else replace(build, written=(*build.written, PLAIN + name))
    )


def unwritten(build: Build, name: str, why: str) -> Build:
    """The build that gives up its part `name`: first the notebooks in it, then all of it."""
    if not is_plain(build, name) and name != PARTS:
        return plainly(build, name)
    log.warning("build %s: %s was not written: %s", build.build_id, name, why)
    warning = f"{name} could not be written: {why}"
    return replace(build, written=(*build.written, name), warnings=(*build.warnings, warning))


def publish(ports: Ports, build: Build) -> Build:
    """Send the pipeline the build's results; not `published` yet while more remain."""
    token = ports.state.token(build.key)
    done = True
    if build.pipeline is not None and token is not None:
        results = final_results(build, notebooks_in(ports.files, build))
        done = ports.pipeline.publish(build.pipeline, token, results, ports.files)
    return replace(build, published=done)


def unpublished(build: Build, why: str) -> Build:
    """The build with the warning that its pipeline lacks some results."""
    log.warning("build %s: the pipeline lacks results: %s", build.build_id, why)
    warning = f"The pipeline does not show all results: {why}"
    return replace(build, published=True, warnings=(*build.warnings, warning))


def post(ports: Ports, build: Build, *, doubt: bool) -> Build:
    """Send the completion, once; `doubt`: it may have been sent before.

    It is left unsent only when the pipeline refuses it; any other fault is raised.
    """
    token = ports.state.token(build.key)
    if build.pipeline is not None and not build.pipeline_ended:
        if token is not None:
            build = _told(ports, build, token, doubt=doubt)
        elif not doubt:
            build = untold(build, "Its token is gone.")
    return replace(build, phase=Phase.COMPLETED)


def _told(ports: Ports, build: Build, token: SecretStr, *, doubt: bool) -> Build:
    assert build.pipeline is not None
    said = _completion(build)
    try:
        ports.pipeline.complete(build.pipeline, token, said, doubt=doubt)
    except UnfitHost:
        raise
    except Permanent as error:
        return untold(build, str(error))
    return build


def _completion(build: Build) -> Completion:
    """The whole completion, or the verdict alone if the rest cannot be rendered."""
    if not is_plain(build, COMPLETION):
        try:
            return completion_of(build)
        except Exception:
            log.exception("build %s: its completion cannot be rendered", build.build_id)
    return Completion(verdict=build.verdict or Verdict.FAILED, reason=build.reason)


def untold(build: Build, why: str) -> Build:
    """The build with the warning that its step could not be completed."""
    log.warning("build %s: its step cannot be completed: %s", build.build_id, why)
    warning = f"The pipeline's step could not be completed: {why}"
    return replace(build, warnings=(*build.warnings, warning))
