"""The table of verdicts: each row, times higher and lower, measured and on record, absolute and
relative, and numbers that are none."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from mlgate.orchestration.models import BuildOfEntry, Entry, EntryKind, Weight
from mlgate.orchestration.promotion.weighing import Weighed, weigh
from mlgate.orchestration.promotions import Comparison, PromotionOutcome, PromotionRequest

NEW, OLD = "a" * 12, "b" * 12
CURRENT = Entry(
    7,
    "churn",
    EntryKind.PROMOTED,
    OLD,
    OLD * 5,
    None,
    datetime(2026, 1, 1, tzinfo=UTC),
    BuildOfEntry("k", "b-7"),
    metrics={"evaluate": {"score": 0.8}},
)
ASKED = PromotionRequest("churn", "train")
SCORE = Comparison("evaluate", "score")

Told = dict[str, float]


def weighed(
    candidate: float | None,
    current: float | None,
    *,
    better: str = "higher",
    measured: bool = False,
    tolerance: float = 0.0,
    relative: float | None = None,
    when: str = "better",
    worse: str = "fail",
) -> Weighed:
    """As if the current version had the value `current`, measured in the build or on record."""
    told: Told = {} if candidate is None else {"score": candidate}
    of_record: Told = {}
    if current is not None:
        (told if measured else of_record)["score_before" if measured else "score"] = current
    asked = Comparison(
        "evaluate", "score", better, tolerance, relative, "score_before" if measured else None
    )
    return weigh(
        replace(ASKED, compare=(asked,), when=when, worse=worse),
        NEW,
        {"evaluate": told},
        replace(CURRENT, metrics={"evaluate": of_record}),
        scored=OLD,
    )


SIDES = list(product(["higher", "lower"], [False, True], ["absolute", "relative"]))
CASES = {
    # the gain over a current value of 100, within a tolerance of 10
    "far better": (30, Weight.BETTER),
    "barely better": (10.5, Weight.BETTER),
    "at the bound": (10, Weight.NOT_WORSE),
    "a little better": (5, Weight.NOT_WORSE),
    "a tie": (0, Weight.NOT_WORSE),
    "a little worse": (-5, Weight.NOT_WORSE),
    "at the lower bound": (-10, Weight.NOT_WORSE),
    "barely worse": (-10.5, Weight.WORSE),
    "far worse": (-30, Weight.WORSE),
}


@pytest.mark.parametrize(("better", "measured", "kind"), SIDES)
@pytest.mark.parametrize("case", CASES)
def test_a_candidate_is_better_not_worse_or_worse(
    case: str, better: str, measured: bool, kind: str
) -> None:
    gain, weight = CASES[case]
    limit = {"tolerance": 10.0} if kind == "absolute" else {"relative": 0.1}
    value = 100 + gain if better == "higher" else 100 - gain
    promoted = {
        ("better", Weight.BETTER): True,
        ("not_worse", Weight.BETTER): True,
        ("not_worse", Weight.NOT_WORSE): True,
    }
    for when, worse in product(["better", "not_worse"], ["fail", "keep"]):
        found = weighed(
            value, 100, better=better, measured=measured, when=when, worse=worse, **limit
        )
        [compared] = found.comparison
        assert (compared.verdict, compared.measured) == (weight, measured)
        assert (compared.candidate, compared.current) == (value, 100)
        goes = promoted.get((when, weight), False)
        assert found.outcome is (PromotionOutcome.PROMOTED if goes else PromotionOutcome.KEPT)
        assert found.passed is (weight is not Weight.WORSE or worse == "keep")
        assert bool(found.warnings) is (weight is Weight.WORSE and worse == "keep")


@pytest.mark.parametrize(
    ("candidate", "current", "tolerance"),
    [(0.7, 0.8, 0.1), (0.3, 0.2, 0.1), (1.1, 1.0, 0.1), (0.15, 0.05, 0.1)],
)
def test_numbers_are_compared_as_they_are_written(
    candidate: float, current: float, tolerance: float
) -> None:
    """By binary fractions some of these differences exceed their tolerance."""
    for better in ("higher", "lower"):
        [compared] = weighed(candidate, current, better=better, tolerance=tolerance).comparison
        assert compared.verdict is Weight.NOT_WORSE


HUGE = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("candidate", "current", "relative", "weight"),
    [
        (HUGE, -HUGE, None, Weight.BETTER),
        (-HUGE, HUGE, None, Weight.WORSE),
        (HUGE, HUGE, None, Weight.NOT_WORSE),
        (HUGE, HUGE / 2, 0.1, Weight.BETTER),
        (HUGE, HUGE, 10.0, Weight.NOT_WORSE),
        (5e-324, 0.0, None, Weight.BETTER),
        (5e-324, 0.0, 0.5, Weight.BETTER),  # a part of nothing is nothing
        (0.0, -0.0, None, Weight.NOT_WORSE),
        (-1.0, -1.05, 0.1, Weight.NOT_WORSE),
        (-1.2, -1.05, 0.1, Weight.WORSE),
        (1e16 + 2, 1e16, None, Weight.BETTER),
    ],
)
def test_huge_tiny_and_negative_numbers(
    candidate: float, current: float, relative: float | None, weight: Weight
) -> None:
    [compared] = weighed(candidate, current, relative=relative).comparison
    assert compared.verdict is weight


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("better", "measured", "kind"), SIDES)
def test_a_candidate_without_a_number_is_refused(
    value: float | None, better: str, measured: bool, kind: str
) -> None:
    relative = 0.1 if kind == "relative" else None
    found = weighed(value, 1.0, better=better, measured=measured, relative=relative, worse="keep")

    assert (found.outcome, found.passed) == (PromotionOutcome.REFUSED, False)
    assert "logged no number as score" in found.reason
    assert found.comparison[0].candidate is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_measured_value_that_is_missing_is_the_one_on_record_with_a_warning(
    value: float | None,
) -> None:
    told = {"score": 0.9} | ({} if value is None else {"before": value})
    asked = replace(ASKED, compare=(replace(SCORE, current="before"),))
    found = weigh(asked, NEW, {"evaluate": told}, CURRENT)

    assert found.outcome is PromotionOutcome.PROMOTED
    assert [(each.current, each.measured) for each in found.comparison] == [(0.8, False)]
    assert "logged no number as before" in found.warnings[0]

    nothing = weigh(asked, NEW, {"evaluate": told}, replace(CURRENT, metrics={}))
    assert (nothing.outcome, nothing.passed) == (PromotionOutcome.REFUSED, False)
    assert "MLGATE_CURRENT_MODEL" in nothing.reason
    assert nothing.warnings == ()  # nothing was compared with what is on record


def test_a_value_that_is_not_on_record_is_refused_with_the_remedy() -> None:
    found = weighed(0.9, None)

    assert (found.outcome, found.passed) == (PromotionOutcome.REFUSED, False)
    assert "Promote once without that comparison" in found.reason


def test_a_measured_value_counts_more_than_the_one_on_record() -> None:
    asked = replace(ASKED, compare=(replace(SCORE, current="before"),))
    told = {"evaluate": {"score": 0.9, "before": 0.95}}
    found = weigh(asked, NEW, told, CURRENT, scored=OLD)

    assert (found.outcome, found.comparison[0].measured) == (PromotionOutcome.KEPT, True)


@pytest.mark.parametrize("scored", [None, "c" * 12])
def test_what_was_measured_of_another_version_does_not_count(scored: str | None) -> None:
    """The current one changed while the build ran."""
    asked = replace(ASKED, compare=(replace(SCORE, current="before"),))
    told = {"evaluate": {"score": 0.9, "before": 0.95}}
    found = weigh(asked, NEW, told, CURRENT, scored=scored)

    assert (found.outcome, found.comparison[0].measured) == (PromotionOutcome.PROMOTED, False)
    assert "became current in the meantime" in found.warnings[0]


def test_nothing_to_compare_is_promoted() -> None:
    found = weigh(ASKED, NEW, {}, CURRENT)
    assert (found.outcome, found.passed) == (PromotionOutcome.PROMOTED, True)


@pytest.mark.parametrize("compare", [(), (SCORE,), (replace(SCORE, current="before"),)])
def test_the_first_version(compare: tuple[Comparison, ...]) -> None:
    told = {"evaluate": {"score": 0.1}}
    first = weigh(replace(ASKED, compare=compare), NEW, told, None)
    assert (first.outcome, first.passed, first.warnings) == (PromotionOutcome.PROMOTED, True, ())

    refused = weigh(replace(ASKED, compare=compare, first=False), NEW, told, None)
    assert (refused.outcome, refused.passed) == (PromotionOutcome.REFUSED, False)
    assert "promote.first" in refused.reason


def test_the_first_version_needs_its_numbers_as_well() -> None:
    """They are what the next one is compared with."""
    found = weigh(replace(ASKED, compare=(SCORE,)), NEW, {}, None)
    assert found.outcome is PromotionOutcome.REFUSED


MANY = {
    (Weight.BETTER, Weight.BETTER): Weight.BETTER,
    (Weight.BETTER, Weight.NOT_WORSE): Weight.BETTER,
    (Weight.BETTER, Weight.WORSE): Weight.WORSE,
    (Weight.NOT_WORSE, Weight.NOT_WORSE): Weight.NOT_WORSE,
    (Weight.NOT_WORSE, Weight.WORSE): Weight.WORSE,
    (Weight.WORSE, Weight.WORSE): Weight.WORSE,
}
GAIN = {Weight.BETTER: 0.1, Weight.NOT_WORSE: 0.0, Weight.WORSE: -0.1}


@pytest.mark.parametrize(("one", "other"), MANY)
def test_of_several_metrics_worse_beats_all_then_better(one: Weight, other: Weight) -> None:
    current = replace(CURRENT, metrics={"a": {"x": 0.5}, "b": {"y": 0.5}})
    for first, second in ((one, other), (other, one)):
        told = {"a": {"x": 0.5 + GAIN[first]}, "b": {"y": 0.5 - GAIN[second]}}
        compare = (Comparison("a", "x"), Comparison("b", "y", "lower"))
        for when in ("better", "not_worse"):
            found = weigh(replace(ASKED, compare=compare, when=when), NEW, told, current)
            assert [each.verdict for each in found.comparison] == [first, second]
            weight = MANY[one, other]
            goes = weight is Weight.BETTER or (weight is Weight.NOT_WORSE and when == "not_worse")
            assert found.outcome is (PromotionOutcome.PROMOTED if goes else PromotionOutcome.KEPT)
            assert found.passed is (weight is not Weight.WORSE)


def test_a_candidate_that_is_current_changes_nothing_whatever_else_is_so() -> None:
    asked = replace(ASKED, compare=(SCORE,), first=False)
    found = weigh(asked, OLD, {}, CURRENT, withdrawn=True, later=True)
    assert (found.outcome, found.passed) == (PromotionOutcome.UNCHANGED, True)


def test_a_version_that_was_rolled_back_is_refused() -> None:
    found = weigh(ASKED, NEW, {}, CURRENT, withdrawn=True, later=True)
    assert (found.outcome, found.passed) == (PromotionOutcome.REFUSED, False)
    assert f"mlgate rollback churn --to {NEW}" in found.reason


def test_a_build_that_began_later_was_first() -> None:
    found = weigh(replace(ASKED, compare=(SCORE,)), NEW, {}, CURRENT, later=True)
    assert (found.outcome, found.passed) == (PromotionOutcome.SUPERSEDED, True)
    assert "b-7" in found.reason
    assert found.warnings == (found.reason,)
