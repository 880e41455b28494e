"""How a promotion ends: its outcome with the reason, and the build's verdict."""

from __future__ import annotations

from dataclasses import replace

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.engine import acts
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.models import Entry
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.promotion.weighing import Weighed
from mlgate.orchestration.promotions import PromotionOutcome


def unentered(ports: Ports, build: Build, *, unknown: bool = False) -> Build:
    """The end of a build that must end, and has no entry; `unknown`: as far as is known."""
    what = f"the model {build.promotion.model if build.promotion else ''}"
    stuck = [each.what for each in build.troubles if each.step == Doing.PROMOTE]
    outcome, ours = PromotionOutcome.NOT_REACHED, False
    if build.pipeline_ended:
        reason = f"Canceled before {what} was promoted."
    elif build.cancel_requested is not None:
        reason, ours = build.cancel_requested, build.infrastructure
        outcome = PromotionOutcome.REFUSED if ours else outcome
    else:
        reason = f"The deadline passed before {what} was promoted."
        if stuck:
            outcome, ours = PromotionOutcome.REFUSED, True
            reason = f"{reason} {stuck[-1]}"
    if unknown and build.promotion and build.promotion.copied and build.promotion.entry:
        outcome, ours = PromotionOutcome.REFUSED, True
        reason = f"{reason} {in_doubt(build.promotion.entry)}"
    return concluded(ports, build, Weighed(outcome, False, reason), ours=ours)


def entered(build: Build) -> PromotionOutcome:
    """Its outcome once its entry is in the log."""
    back = build.kind == "rollback"
    return PromotionOutcome.ROLLED_BACK if back else PromotionOutcome.PROMOTED


def refused(ports: Ports, build: Build, why: str, *, ours: bool = False) -> Build:
    """The end of a build whose model is not promoted; `ours`: the build is not at fault."""
    return concluded(ports, build, Weighed(PromotionOutcome.REFUSED, False, why), ours=ours)


def in_doubt(entry: Entry) -> str:
    """The sentence for when it is not known whether the entry was appended."""
    return (
        f"It is not known whether entry {entry.number} of {entry.model} was "
        f"appended: see `mlgate models {entry.model}`."
    )


def concluded(ports: Ports, build: Build, found: Weighed, *, ours: bool = False) -> Build:
    """The build with its verdict: what the gate said, unless its model fails it."""
    assert build.promotion is not None
    promotion = replace(
        build.promotion,
        outcome=found.outcome,
        passed=found.passed,
        reason=found.reason,
        entry=None,
        copied=False,
    )
    verdict = Verdict.SUCCEEDED if found.passed else Verdict.FAILED
    if build.pipeline_ended:
        verdict = Verdict.CANCELED
    build = replace(build, promotion=promotion, infrastructure=build.infrastructure or ours)
    reason = f"{build.reason} {found.reason}" if found.passed else found.reason
    return acts.concluded(ports, build, verdict, reason.strip())
