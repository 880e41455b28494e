"""The words of strings, docstrings and comments are the field's own, in the folders listed here."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = "\n"
CLEAN = (
    "mlgate",
    "handlers",
    "benchmarks",
    "docs",
    "PredictFunctionApp",
    "RunNotebookFunctionApp",
    "SweepBuildsFunctionApp",
)
BETTER = {
    r"tells?|told|telling": "report, log, show, say, receive",
    r"whoever|whomever": "the handler, the host, the sender",
    r"(take[sn]?|took)\s+for": "treat as",
    r"(take[sn]?|took|taking)\s+over": "copy, store, continue",
    r"stands?|stood": "is, are",
    r"minds?": "note, care",
    r"(comes?|came)\s+to\s+an\s+end": "end",
    r"c[ao]me\s+of": "result, outcome",
    r"(?<!there )(is|are|was|were)\s+no\s+(?!longer\b|more\b)": "is not a",
    r"can(not)?\s+be\s+had": "read, collected, found",
    r"at\s+hand": "under way, present",
    r"anew": "again",
    r"borne": "tolerated",
    r"time-outs?": "timeout",
}
_TEXTS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
_CODE = re.compile(r"`[^`\n]*`|\{[^{}\n]*\}")  # names in backticks, expressions in braces


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """Each string and comment with the number of its first line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _TEXTS:
            yield token.start[0], _CODE.sub("", token.string)


def wrong_words(source: str) -> list[str]:
    """A line for each: where it is, the word, and what to write."""
    return [
        f"{line + text[: match.start()].count(LINE)}: `{match[0].strip()}`: write {better}"
        for line, text in _texts(source)
        for pattern, better in BETTER.items()
        for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("folder", CLEAN)
def test_texts_use_the_words_of_the_field(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{wrong}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for wrong in wrong_words(path.read_text("utf-8"))
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            '"""One.\n\nThe pipeline is told."""',
            ["3: `told`: write report, log, show, say, receive"],
        ),
        ("x = 1  # whoever waits", ["1: `whoever`: write the handler, the host, the sender"]),
        ('f"{told} is no notebook"', ["1: `is no`: write is not a"]),
        ('told = f"There is no run `told`, {told}."', []),
    ],
)
def test_a_wrong_word_is_named_with_its_line(source: str, found: list[str]) -> None:
    assert wrong_words(source) == found
