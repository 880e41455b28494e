"""How values, and text written by others, appear in what a build leaves."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings

from mlgate.orchestration.text import (
    duration,
    exact,
    head,
    minutes,
    number,
    one_line,
    plain,
    tail,
    utc,
)
from tests.unit.orchestration.verdict.any_builds import ANY_TIME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[0;31mKeyError\x1b[0m", "KeyError"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended", "0;never ended"),
        ("10%\r100%\r\ndone", "10%\n100%\ndone"),
        ("a\x00b\x08c\x7fd\x9be", "abcde"),
        ("half \ud800 \udfff, not \ufffe", "half  , not "),
        ("déjà vu 😀\tkept\n", "déjà vu 😀\tkept\n"),
    ],
)
def test_plain_text_has_no_escapes_and_nothing_illegal_in_xml(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1.0, "1 minute"),
        (1.0000001, "1 minute"),
        (2.5, "2.5 minutes"),
        (1440.0, "1440 minutes"),
        (2_000_000.0, "2000000 minutes"),
    ],
)
def test_minutes_are_counted_in_plain_digits(count: float, text: str) -> None:
    assert minutes(count) == text


def test_one_line_is_cut_with_an_ellipsis() -> None:
    assert one_line("a\n b\t c") == "a b c"
    assert one_line("x" * 300, 10) == "xxxxxxxxx…"


def test_a_cut_falls_between_lines_where_it_can() -> None:
    assert tail("first\nsecond\nthird", 9) == "…\nthird"
    assert head("first\nsecond\nthird", 9) == "first\n…"
    assert tail("x" * 20, 5) == "…\nxxxxx"
    assert head("short", 9) == tail("short", 9) == "short"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (-1, "-"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (184, "3 min 04 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations_read_well(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (184320.0, "184320"),
        (0.9342118, "0.934212"),
        (1e-9, "1e-09"),
        (1e30, "1e+30"),
        (float("nan"), "nan"),
        (10**400, "inf"),
        (-(10**400), "-inf"),
    ],
)
def test_numbers_read_well(value: float, expected: str) -> None:
    assert number(value) == expected


def test_a_number_of_more_digits_than_python_writes_is_told_all_the_same() -> None:
    assert exact(10**5000) == "inf"
    assert exact(0.1 + 0.2) == "0.30000000000000004"


def test_times_are_utc_with_z() -> None:
    summer = timezone(timedelta(hours=2))
    assert utc(datetime(2025, 5, 6, 10, 3, 11, tzinfo=summer)) == "2025-05-06T08:03:11.000Z"
    assert utc(None) is None


@settings(deadline=None)  # a busy machine is not a failure
@given(ANY_TIME)
def test_a_time_of_any_zone_and_year_is_in_utc(moment: datetime) -> None:
    told = utc(moment) or ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told)
    if 1 < moment.year < 9999:
        assert abs(datetime.fromisoformat(told) - moment) < timedelta(milliseconds=1)


def test_a_time_that_utc_has_no_year_for_is_the_nearest_that_it_has() -> None:
    east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
    assert utc(datetime(1, 1, 1, tzinfo=east)) == "0001-01-01T00:00:00.000Z"
    assert utc(datetime(9999, 12, 31, 23, tzinfo=west)) == "9999-12-31T23:59:59.999Z"
