"""The outcome for a build's model, in words that all reports share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlgate.orchestration.builds import Build
from mlgate.orchestration.models import Compared
from mlgate.orchestration.promotions import Promotion, PromotionOutcome
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import exact, finite

_WORDS = {
    PromotionOutcome.PROMOTED: "promoted",
    PromotionOutcome.KEPT: "kept as it was",
    PromotionOutcome.UNCHANGED: "unchanged",
    PromotionOutcome.SUPERSEDED: "superseded",
    PromotionOutcome.REFUSED: "refused",
    PromotionOutcome.ROLLED_BACK: "rolled back",
    PromotionOutcome.NOT_REACHED: "not reached",
}
_ENTERED = (PromotionOutcome.PROMOTED, PromotionOutcome.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class ModelStory:
    """`was` and `now` are versions as people name them, or a dash; `back` is the command that rolls
    back, where there is a version to roll back to."""

    name: str
    outcome: str
    was: str
    now: str
    why: str
    back: str | None
    status: RunStatus  # as that of a run
    comparison: tuple[Compared, ...]


def story(build: Build) -> ModelStory | None:
    """None for a build without a model, or whose promotion has not ended."""
    promotion = build.promotion
    if promotion is None or promotion.outcome is None:
        return None
    verification = promotion.verification
    later = None if verification is None else verification.current
    entered = promotion.outcome in _ENTERED and not _undone(promotion) and later is None
    now = promotion.id if entered else later
    was = _version(promotion.model, promotion.was or build.current_version)
    return ModelStory(
        name=promotion.model,
        outcome=_WORDS[promotion.outcome],
        was=was,
        now=_version(promotion.model, now) if now else was,
        why=promotion.reason,
        back=_back(promotion) if entered else None,
        status=_status(promotion),
        comparison=promotion.comparison,
    )


def promotion_json(build: Build) -> dict[str, Any] | None:
    """`promotion` of `result.json`; None without a promotion, or until it has ended."""
    promotion = build.promotion
    if promotion is None or promotion.outcome is None:
        return None
    return {
        "model": promotion.model,
        "outcome": promotion.outcome,
        "reason": promotion.reason,
        "id": promotion.id,
        "number": promotion.number,
        "replaces": promotion.was if promotion.outcome in _ENTERED else None,
        "digest": promotion.digest,
        "comparison": [
            {
                "run": each.run,
                "metric": each.metric,
                "candidate": finite(each.candidate),
                "current": finite(each.current),
                "measured": each.measured,
                "verdict": each.verdict,
            }
            for each in promotion.comparison
        ],
        "verified": promotion.verified,
    }


def promotion_variables(build: Build) -> dict[str, str]:
    """The output variables, each as text; those without a value are left out."""
    promotion = build.promotion
    if promotion is None or promotion.outcome is None:
        return {}
    said = {
        "outcome": promotion.outcome,
        "model": promotion.model,
        "id": promotion.id,
        "number": promotion.number,
        "previous": promotion.was if promotion.outcome in _ENTERED else None,
    }
    return {f"promotion.{key}": str(value) for key, value in said.items() if value is not None}


def compared_values(compared: Compared) -> tuple[str, str, str]:
    """The candidate's value, the current version's, and how they compare."""
    how = "" if compared.current is None else " measured" if compared.measured else " on record"
    return (
        "missing" if compared.candidate is None else exact(compared.candidate),
        "-" if compared.current is None else f"{exact(compared.current)}{how}",
        "-" if compared.verdict is None else compared.verdict.replace("_", " "),
    )


def _version(model: str, version: str | None) -> str:
    return f"{model}@{version}" if version else "-"


def _undone(promotion: Promotion) -> bool:
    """Whether its entry was undone because it could not be verified."""
    return promotion.verification is not None and promotion.verification.undone is not None


def _back(promotion: Promotion) -> str | None:
    if promotion.was is None:
        return None
    if promotion.outcome is PromotionOutcome.ROLLED_BACK:
        return f"mlgate rollback {promotion.model} --to {promotion.was}"
    return f"mlgate rollback {promotion.model}"


def _status(promotion: Promotion) -> RunStatus:
    if promotion.outcome is PromotionOutcome.NOT_REACHED:
        return RunStatus.SKIPPED
    return RunStatus.SUCCEEDED if promotion.passed else RunStatus.FAILED
