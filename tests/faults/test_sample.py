"""A sample of `make faults`: no point of it may be worse than the contract allows."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.faults.faulty import Fault, Point
from tests.faults.points import LATE, Trial, attempt, methods, trials

PARTS = 4  # of the sample, which may be tried side by side
EVERY = 97


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def lasts(trial: Trial) -> bool:
    """Whether it takes simulated days."""
    point = trial.point
    return trial.story == LATE or (
        point is not None and point.for_ever and point.fault in (Fault.TEMPORARY, Fault.LOST)
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_a_build_is_told_in_time_and_once_whatever_fails(part: int) -> None:
    chosen = [trial for trial in trials() if not lasts(trial)][::EVERY][part::PARTS]
    results = [attempt(trial) for trial in chosen]

    assert len([result for result in results if result.struck]) > len(results) / 2
    assert {str(result.trial): result.violations for result in results if result.violations} == {}


def test_every_method_and_every_renderer_is_struck_somewhere() -> None:
    struck = {(each.port, each.method) for each in points() if each.method != "*"}

    assert struck <= set(methods())
    # The rest is not called in these stories: nothing waits for what people alone ask for.
    assert set(methods()) - struck == UNUSED


def points() -> Iterator[Point]:
    return (trial.point for trial in trials() if trial.point is not None)


UNUSED = {
    ("files", "list"),
    ("files", "location"),
    ("files", "tail"),
    ("models", "fetch"),
    ("models", "models"),
    ("renderer", "acts:no_notebooks"),
    ("state", "builds"),
    ("state", "history"),
    ("state", "rejections"),
}
