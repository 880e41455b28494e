"""Every code is one that something can get, and says what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlgate.orchestration.findings import Code, choices, nearest, pointer


@pytest.mark.parametrize("code", Code)
def test_a_code_is_a_word_with_a_meaning(code: Code) -> None:
    assert re.fullmatch("[a-z]+(-[a-z]+)*", code.value)
    assert code.meaning.endswith(".")
    assert "\n" not in code.meaning


@pytest.mark.parametrize("code", Code)
def test_a_code_is_expected_by_some_test(code: Code) -> None:
    """The tests here name codes as literals, in tables of what leads to them."""
    tests = [
        path for path in Path(__file__).parents[2].rglob("test_*.py") if path != Path(__file__)
    ]
    assert any(f'"{code.value}"' in path.read_text() for path in tests)


def test_pointers_are_escaped() -> None:
    assert pointer() == ""
    assert pointer("a/b", 0, "~", "") == "/a~1b/0/~0/"


@pytest.mark.parametrize(
    ("word", "close"),
    [("buildId", "build_id"), ("Build-Id", "build_id"), ("atempt", "attempt"), ("zebra", None)],
)
def test_the_nearest_word_ignores_case_and_separators(word: str, close: str | None) -> None:
    assert nearest(word, ["build_id", "attempt"]) == close


def test_without_a_near_word_all_are_told() -> None:
    assert choices("zebra", ["a", "b"]) == "Known here: `a`, `b`."
    assert choices("zebra", []) == "Known here: none."
