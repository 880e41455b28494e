"""Calls that take a minute to fail, again and again: the step is told in time all the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.faults.points import ASKED, MANY, PLAIN, attempt, slow_trials
from tests.faults.world import Story


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("story", [PLAIN, MANY, ASKED], ids=["one", "many", "canceled"])
def test_what_fails_slowly_holds_nobody_up(story: Story) -> None:
    results = [attempt(trial) for trial in slow_trials([story])]

    assert {str(each.trial): each.violations for each in results if each.violations} == {}
    assert [each for each in results if each.late is None] == []
