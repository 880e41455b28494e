"""Text that writes over itself is shown as Jupyter shows it."""

from __future__ import annotations

import time

import pytest

from mlgate.launcher.overwriting import last_state


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", ""),
        ("plain\ntext\n", "plain\ntext\n"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("\r 1%\r 50%\r100%", "100%"),
        (" 1%\r 50%\r", " 50%"),
        ("long state\rlast", "last state"),
        ("a: 1\rb: 2\nc: 3\rd: 4\n", "b: 2\nd: 4\n"),
        ("1/9\b\b\b2/9\b\b\b3/9", "3/9"),
        ("\b\bx\n\by", "x\ny"),
        ("a\r\bb", "b"),
    ],
)
def test_the_last_state_of_each_line_is_seen(text: str, seen: str) -> None:
    assert last_state(text) == seen


@pytest.mark.parametrize("text", ["x\r" * 500_000, "x" * 2_000_000 + "\r", "ab\b" * 500_000])
def test_much_of_it_takes_no_longer_than_it_is_long(text: str) -> None:
    started = time.process_time()
    last_state(text)
    assert time.process_time() - started < 5
