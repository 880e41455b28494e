"""For how long trouble is borne, whoever meets it and however often."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Trouble, TroubleKind
from mlgate.orchestration.engine import trouble
from mlgate.orchestration.engine.trouble import TABLE, Doing
from mlgate.orchestration.errors import Permanent, Temporary, Throttled, UnfitHost
from tests.unit.orchestration.engine.builders import NOON

NONE, FIVE, DAY = timedelta(0), timedelta(minutes=5), timedelta(days=1)
RIGHT = (NONE,)
ERRORS = {
    TroubleKind.TEMPORARY: Temporary("It does not answer.", delay=0),
    TroubleKind.UNFIT: UnfitHost("This host may not."),
    TroubleKind.PERMANENT: Permanent("It said no."),
    TroubleKind.BUG: ZeroDivisionError("a bug"),
}
CELLS = [(step, kind, minutes) for step, row in TABLE.items() for kind, minutes in row.items()]
BORNE = [(step, kind, minutes) for step, kind, minutes in CELLS if minutes]


def borne(
    step: Doing,
    kind: TroubleKind,
    ahead: Iterable[timedelta] = RIGHT,
    early: timedelta | None = None,
) -> timedelta | None:
    """True time until it is spent, met by hosts whose clocks are `ahead`, one after the other.

    They try when the pause is over, or sooner: `early` after the last time.
    """
    met: tuple[Trouble, ...] = ()
    time, hosts = NONE, itertools.cycle(ahead)
    while time < DAY:
        now = trouble.meet(met, step, ERRORS[kind], NOON + time + next(hosts))
        if now.spent:
            return time
        met = now.troubles
        time += now.pause if early is None else min(early, now.pause)
    return None


@pytest.mark.parametrize(("step", "kind", "minutes"), CELLS)
def test_trouble_is_borne_as_long_as_its_row_says(
    step: Doing, kind: TroubleKind, minutes: float | None
) -> None:
    time = borne(step, kind)

    if minutes is None:
        assert time is None
    else:
        assert time is not None
        assert NONE <= time - timedelta(minutes=minutes) <= timedelta(minutes=1)
        assert minutes or time == NONE


@pytest.mark.parametrize(("step", "kind", "minutes"), BORNE)
@pytest.mark.parametrize("ahead", [(-FIVE, FIVE), (FIVE, -FIVE), (FIVE, FIVE)], ids=str)
def test_clocks_that_differ_neither_shorten_nor_lengthen_it(
    step: Doing, kind: TroubleKind, minutes: float, ahead: tuple[timedelta, ...]
) -> None:
    assert minutes
    assert borne(step, kind, ahead) == borne(step, kind)


@pytest.mark.parametrize(("step", "kind", "minutes"), BORNE)
def test_tries_that_come_early_do_not_use_it_up(
    step: Doing, kind: TroubleKind, minutes: float
) -> None:
    """A run that ends on this machine has its build looked at, whatever that waits for."""
    time = borne(step, kind, early=timedelta(seconds=1.5))

    assert time is not None
    assert NONE <= time - timedelta(minutes=minutes) <= timedelta(seconds=2)


def test_what_follows_the_last_run_stays_within_the_ten_minutes_of_the_contract() -> None:
    def longest(step: Doing) -> timedelta:
        return max(borne(step, kind) or NONE for kind in TroubleKind)

    # A file is given up twice, with notebooks and without; what is given up is not waited for
    # again with the next file.
    steps = (Doing.KEEP, Doing.JUDGE, Doing.WRITE, Doing.PUBLISH)
    assert sum(map(longest, steps), NONE) < timedelta(minutes=10)


def _met(errors: Iterable[Exception], step: Doing = Doing.LOOK) -> Iterator[trouble.Met]:
    troubles: tuple[Trouble, ...] = ()
    time = NOON
    for error in errors:
        yield (met := trouble.meet(troubles, step, error, time))
        troubles, time = met.troubles, time + met.pause


def test_kinds_and_steps_are_counted_apart() -> None:
    many = [Temporary("away")] * 200
    *_, last = _met([*many, UnfitHost("one 403")])
    assert not last.spent
    assert [(each.kind, each.times) for each in last.troubles] == [("temporary", 200), ("unfit", 1)]

    *_, looked = _met([UnfitHost("no right")] * 10)
    submitted = trouble.meet(looked.troubles, Doing.SUBMIT, UnfitHost("no right"), NOON)
    assert [(each.step, each.times) for each in submitted.troubles] == [("look", 10), ("submit", 1)]


def test_a_step_that_succeeds_has_no_trouble_any_more() -> None:
    *_, looked = _met([UnfitHost("no right")] * 10)
    both = trouble.meet(looked.troubles, Doing.SUBMIT, Temporary("busy"), NOON).troubles

    assert [each.step for each in trouble.forget(both, Doing.LOOK)] == ["submit"]
    again = trouble.meet(trouble.forget(both, Doing.LOOK), Doing.LOOK, UnfitHost("again"), NOON)
    assert (again.troubles[-1].times, again.troubles[-1].borne) == (1, 0)


def test_it_remembers_since_when_how_often_and_the_last_sentence() -> None:
    *_, last = _met([Temporary("first"), Temporary("second"), Temporary("third")])

    [remembered] = last.troubles
    assert (remembered.since, remembered.times, remembered.what) == (NOON, 3, "third")


@pytest.mark.parametrize(
    ("step", "error", "seconds"),
    [
        (Doing.LOOK, Temporary("busy", 5), 5),
        (Doing.LOOK, Throttled("throttled", 3600), 60),
        (Doing.WRITE, Throttled("throttled", 3600), 60),
        (Doing.LOOK, ZeroDivisionError("a bug"), 2),
    ],
)
def test_it_is_tried_again_when_the_error_says_within_a_minute(
    step: Doing, error: Exception, seconds: float
) -> None:
    assert trouble.meet((), step, error, NOON).pause == timedelta(seconds=seconds)


def test_tries_side_by_side_cost_what_one_of_them_costs() -> None:
    """Their times come in any order, a moment apart."""
    met: tuple[Trouble, ...] = ()
    cost = 0.0
    for number in range(60):
        at = NOON + timedelta(seconds=number // 8 * 0.2, milliseconds=(7 * number) % 8)
        one = trouble.meet(met, Doing.KEEP, Temporary("busy"), at, took=0.2 / 8)
        met, cost = one.troubles, cost + one.cost
    assert cost < 5
    assert not one.spent


def test_what_was_given_up_is_tried_again_after_a_while() -> None:
    met: tuple[Trouble, ...] = ()
    time = NONE
    while not (one := trouble.meet(met, Doing.KEEP, Temporary("busy"), NOON + time)).spent:
        met, time = one.troubles, time + one.pause
    tried = timedelta(seconds=trouble.TRIED_AGAIN)
    assert trouble.given_up(one.troubles, Doing.KEEP, NOON + time) == "busy"
    assert trouble.given_up(one.troubles, Doing.KEEP, NOON + time + tried) is None
    assert trouble.given_up(one.troubles, Doing.WRITE, NOON + time) is None


def test_a_try_at_the_same_moment_as_another_adds_no_wait() -> None:
    one = trouble.meet((), Doing.KEEP, Temporary("busy"), NOON, took=1.0)
    two = trouble.meet(one.troubles, Doing.KEEP, Temporary("busy"), NOON, took=0.5)
    assert (one.cost, two.cost) == (1.0, 0.5)
    assert [each.borne for each in two.troubles] == [1.5]
