"""Cleans text from outside, here and for readers of a run's results.

Messages and tracebacks come from repositories and kernels. They may have terminal colors, control
characters and lone surrogates, which neither XML nor UTF-8 can hold.
"""

from __future__ import annotations

import re

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, hyperlinks
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor movements
    r"|\x1b[ -/]*[0-~]"
)
# All characters except those of XML 1.0's Char production; also the C1 controls, which it
# discourages.
_ILLEGAL = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """The text without escape sequences and characters illegal in XML 1.0; lines end in `\\n`."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ILLEGAL.sub("", _ESCAPE_SEQUENCE.sub("", text))


def one_line(text: str, limit: int = 200) -> str:
    """The text as one plain line, cut with an ellipsis to at most `limit` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def clipped(text: str, most: int) -> str:
    """The text; if it is longer than `most` characters, only its beginning and end."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}\n...\n{text[-half:]}"


def short_lines(text: str, most: int = 2_000) -> str:
    """The text with each line cut to `most` characters."""
    return "\n".join(line[:most] for line in text.split("\n"))


def excerpt(text: str, lines: int) -> str:
    """The first and the last lines of the text, at most `lines` of each."""
    every = text.splitlines()
    if len(every) > 2 * lines:
        every[lines:-lines] = ["..."]
    return "\n".join(every)
