"""Compares a candidate with the current version: better, not worse or worse, and the outcome. Pure.

Differences are exact, of the numbers as people write them: 0.7 is within a tolerance of 0.1 of 0.8,
which it would not be in binary fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from mlgate.orchestration.models import Compared, Entry, Weight
from mlgate.orchestration.promotions import Comparison, PromotionOutcome, PromotionRequest
from mlgate.orchestration.text import as_float, exact, number

Metrics = Mapping[str, Mapping[str, float]]  # by run, then by name


@dataclass(frozen=True, slots=True)
class Weighed:
    """The decision about the candidate. `PROMOTED` is still to be carried out.

    `passed`: whether the build's verdict stays what its gate said.
    """

    outcome: PromotionOutcome
    passed: bool
    reason: str
    comparison: tuple[Compared, ...] = ()
    warnings: tuple[str, ...] = ()


def weigh(
    request: PromotionRequest,
    candidate: str,
    metrics: Metrics,
    current: Entry | None,
    *,
    scored: str | None = None,
    withdrawn: bool = False,
    later: bool = False,
) -> Weighed:
    """`candidate` is its version's id, `current` the entry that it would replace.

    `scored`: the id of the version that the build's runs found in the folder MLGATE_CURRENT_MODEL;
    what was measured of it counts only as long as it is the current one.
    `withdrawn`: this version was rolled back once. `later`: the current version comes from a build
    of the same repository that began later.
    """
    if current is not None and current.id == candidate:
        return Weighed(
            PromotionOutcome.UNCHANGED,
            True,
            f"{request.model}@{candidate} is the current version already.",
        )
    if withdrawn:
        return _refused(
            f"{request.model}@{candidate} was rolled back once. To bring it back, run "
            f"`mlgate rollback {request.model} --to {candidate}`."
        )
    if current is not None and later:
        build = current.build.build_id if current.build else "another one"
        reason = (
            f"The current version, {request.model}@{current.id}, comes from the build {build}, "
            "which began later."
        )
        return Weighed(PromotionOutcome.SUPERSEDED, True, reason, warnings=(reason,))
    scales = [_Scale(each, metrics, current, scored) for each in request.compare]
    comparison = tuple(scale.compared() for scale in scales)
    warnings = tuple(warning for scale in scales for warning in scale.warnings())
    weighed = _decided(request, candidate, current, scales)
    return replace(weighed, comparison=comparison, warnings=(*warnings, *weighed.warnings))


class _Scale:
    """One metric on both sides."""

    def __init__(
        self, asked: Comparison, metrics: Metrics, current: Entry | None, scored: str | None
    ) -> None:
        self.asked = asked
        of_run = metrics.get(asked.run, {})
        self.candidate = _number(of_run.get(asked.metric))
        measured = None if asked.current is None else _number(of_run.get(asked.current))
        on_record = None
        if current is not None:
            on_record = _number(current.metrics.get(asked.run, {}).get(asked.metric))
        self.measured = current is not None and measured is not None and current.id == scored
        self._outdated = measured is not None and not self.measured
        self.current = measured if self.measured else on_record
        self._first = current is None

    def weight(self) -> Weight | None:
        if self.candidate is None or self.current is None:
            return None
        candidate, current = Fraction(repr(self.candidate)), Fraction(repr(self.current))
        delta = candidate - current if self.asked.better == "higher" else current - candidate
        tolerance = Fraction(repr(float(self.asked.tolerance)))
        if self.asked.relative_tolerance is not None:
            tolerance = Fraction(repr(float(self.asked.relative_tolerance))) * abs(current)
        if delta > tolerance:
            return Weight.BETTER
        return Weight.WORSE if delta < -tolerance else Weight.NOT_WORSE

    def compared(self) -> Compared:
        asked = self.asked
        return Compared(
            asked.run, asked.metric, self.candidate, self.current, self.measured, self.weight()
        )

    def warnings(self) -> Iterator[str]:
        on_record = not self.measured and self.current is not None
        if self.asked.current is not None and on_record:
            why = (
                "Another version became current in the meantime"
                if self._outdated
                else f"The run {self.asked.run} logged no number as {self.asked.current}"
            )
            yield f"{why}, so {self.asked.metric} was compared with the value on record."

    def lack(self) -> str | None:
        """Why it cannot be weighed: the numbers that are missing."""
        asked = self.asked
        if self.candidate is None:
            return (
                f"The run {asked.run} logged no number as {asked.metric}. Log it as a metric, or "
                "write it to outputs/metrics.json."
            )
        if self.current is None and not self._first:
            remedy = (
                "Promote once without that comparison to put its value on record."
                if asked.current is None
                else f"Have the run log {asked.current}: it finds the current version in "
                "the folder MLGATE_CURRENT_MODEL."
            )
            return (
                f"The current version has no value of {asked.metric} to compare with, neither "
                f"measured in this build nor on record. {remedy}"
            )
        return None

    def sentence(self) -> str:
        asked, now, before = self.asked, self.candidate, self.current
        assert now is not None
        assert before is not None
        words = {
            Weight.BETTER: "better than",
            Weight.NOT_WORSE: "not worse than",
            Weight.WORSE: "worse than",
        }
        weight = self.weight()
        assert weight is not None
        shown, other = number(now), number(before)
        if shown == other and now != before:
            shown, other = exact(now), exact(before)
        how = "measured in this build" if self.measured else "on record"
        allowed = _tolerance(asked)
        return f"{asked.run}: {asked.metric} is {shown}, {words[weight]} {other} {how}{allowed}"


def _decided(
    request: PromotionRequest, candidate: str, current: Entry | None, scales: Sequence[_Scale]
) -> Weighed:
    if lacks := [lack for scale in scales if (lack := scale.lack())]:
        return _refused(" ".join(lacks))
    new = f"{request.model}@{candidate}"
    if current is None:
        if request.first:
            return _promoted(f"{request.model} had no version yet.")
        return _refused(
            f"{request.model} has no version to compare with, and `first` is false. Set "
            "`promote.first` to true to promote the first one."
        )
    if not scales:
        return _promoted(f"{new} replaces {request.model}@{current.id}; they were not compared.")
    weights = {scale.weight() for scale in scales}
    said = "; ".join(scale.sentence() for scale in scales) + "."
    if Weight.WORSE in weights:
        kept = f"{request.model}@{current.id} is kept: {said}"
        if request.worse == "fail":
            return Weighed(PromotionOutcome.KEPT, False, kept)
        return Weighed(PromotionOutcome.KEPT, True, kept, warnings=(kept,))
    if Weight.BETTER in weights or request.when == "not_worse":
        return _promoted(said)
    return Weighed(PromotionOutcome.KEPT, True, f"{request.model}@{current.id} is kept: {said}")


def _promoted(reason: str) -> Weighed:
    return Weighed(PromotionOutcome.PROMOTED, True, reason)


def _refused(reason: str) -> Weighed:
    return Weighed(PromotionOutcome.REFUSED, False, reason)


def _number(value: float | None) -> float | None:
    """None if it is missing, not a number, or infinite."""
    if value is None or isinstance(value, bool) or not math.isfinite(as_float(value)):
        return None
    return as_float(value)


def _tolerance(asked: Comparison) -> str:
    if asked.relative_tolerance is not None:
        return f" (within {number(asked.relative_tolerance * 100)} %)"
    return f" (within {number(asked.tolerance)})" if asked.tolerance else ""
