"""The pages that people read use the words of the field, like the texts of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_words import BETTER

ROOT = Path(__file__).parents[2]
# Made from the parser: its words are those of mlgate/hosts, and are mended there.
GENERATED = {ROOT / "docs/commands.md"}
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    ROOT / "examples/README.md",
    *sorted(set((ROOT / "docs").glob("*.md")) - GENERATED),
]
# Code, where a link leads, and the project's word for a server that plays one of Azure's.
_NO_PROSE = re.compile(r"``.*?``|`[^`]*`|\]\([^)]*\)|\bstand-ins?\b", re.IGNORECASE | re.DOTALL)
_FENCE = re.compile(r"^ *(`{3,})[^\n]*\n.*?^ *\1$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")


def prose(page: str) -> str:
    """The page without its code and links, with every line where it was."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    for pattern in (_FENCE, _INDENTED, _NO_PROSE):
        page = pattern.sub(blank, page)
    return page


def wrong_words(page: str) -> Iterator[str]:
    """A line for each: where it is, the word, and what to write."""
    text = prose(page)
    for pattern, better in BETTER.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{line}: `{' '.join(match[0].split())}`: write {better}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_uses_the_words_of_the_field(page: Path) -> None:
    found = [f"{page.relative_to(ROOT)}:{wrong}" for wrong in wrong_words(page.read_text("utf-8"))]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (
            "# One\n\nIt is told\nanew.\n",
            ["3: `told`: write report, log, show, say, receive", "4: `anew`: write again"],
        ),
        ("A value is\nno number.\n", ["1: `is no`: write is not a"]),
        ("```text\nIt is told.\n```\n\nThere is no run `told`, see [it](told.md).\n", []),
        ("Two\n```json\n{}\n```\nand it is borne.\n", ["5: `borne`: write tolerated"]),
        ("Text:\n\n    it is told\n\nA stand-in for Azure ML.\n", []),
    ],
)
def test_a_wrong_word_on_a_page_is_named_with_its_line(page: str, found: list[str]) -> None:
    assert sorted(wrong_words(page)) == found
