"""How values, and text written by others, appear in what a build leaves."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from mlgate.orchestration.wording import duration, head, number, one_line, plain, tail, utc


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
    ],
)
def test_numbers_read_well(value: float, expected: str) -> None:
    assert number(value) == expected


def test_times_are_utc_with_z() -> None:
    summer = timezone(timedelta(hours=2))
    assert utc(datetime(2025, 5, 6, 10, 3, 11, tzinfo=summer)) == "2025-05-06T08:03:11.000Z"
    assert utc(None) is None
