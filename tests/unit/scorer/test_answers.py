"""What models predict, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mlgate.scorer.answers import alike, plain, wrapped
from mlgate.scorer.errors import BadAnswer


class Array:
    """As far as arrays are known."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class Word(str):
    __slots__ = ()


class Sparse:
    def toarray(self) -> Array:
        return Array([[0, 1]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2.5, "x", None, True], [1, 2.5, "x", None, True]),
        ([float("nan"), float("inf"), -float("inf")], [None, None, None]),
        ((1, (2,)), [1, [2]]),
        ({1: {"a": float("nan")}}, {"1": {"a": None}}),
        (Array([Array(1.5), float("nan")]), [1.5, None]),
        (Sparse(), [[0, 1]]),
        (Word("w"), "w"),
        (b"hi", "aGk="),
        (date(2026, 11, 29), "2026-11-29"),
        (datetime(2026, 11, 29, 10, tzinfo=UTC), "2026-11-29T10:00:00+00:00"),
        (timedelta(seconds=90), 90.0),
        (Decimal("1.5"), 1.5),
    ],
)
def test_an_answer_becomes_json(value: Any, expected: Any) -> None:
    found = plain(value)

    assert found == expected
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


@pytest.mark.parametrize("value", [object(), 1j, [object()]])
def test_what_is_no_json_is_named(value: Any) -> None:
    with pytest.raises(BadAnswer, match=r"builtins\.(object|complex)"):
        plain(value)


def test_an_answer_in_itself_comes_to_an_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(BadAnswer, match="too deeply"):
        plain(endless)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("mlflow", {"predictions": [1]}), ("columns", {"prediction": [1]}), ("rows", [1])],
)
def test_an_answer_has_the_form_of_its_request(form: str, expected: Any) -> None:
    assert wrapped([1], form) == expected


ANSWER: Mapping[str, Any] = {"predictions": [[0.1, 2], "x", None, 3.0]}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"predictions": [[0.1 + 1e-12, 2], "x", None, 3]}, True),
        ({"predictions": [[0.11, 2], "x", None, 3.0]}, False),
        ({"predictions": [[0.1, 3], "x", None, 3.0]}, False),
        ({"predictions": [[0.1, 2], "y", None, 3.0]}, False),
        ({"predictions": [[0.1, 2], "x", 0, 3.0]}, False),
        ({"predictions": [[0.1, 2], "x", None]}, False),
        ({"predictions": [[0.1, True], "x", None, 3.0]}, False),
        ({"prediction": [[0.1, 2], "x", None, 3.0]}, False),
    ],
)
def test_answers_are_alike_but_for_last_digits(other: Any, same: bool) -> None:
    assert alike(ANSWER, other) is same


def test_large_whole_numbers_are_compared_exactly() -> None:
    assert not alike(10**9, 10**9 + 1)
