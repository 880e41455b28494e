"""Finds the visible state of text that overwrites itself, as progress bars do."""

from __future__ import annotations


def last_state(text: str) -> str:
    """Each line as Jupyter shows it, after its carriage returns and backspaces."""
    if "\r" not in text and "\b" not in text:
        return text
    return "\n".join(map(_last_state_of_line, text.split("\n")))


def _last_state_of_line(line: str) -> str:
    if "\b" in line:
        line = _without_backspaced(line)
    seen = ""
    for written in reversed(line.split("\r")):  # later text covers earlier text up to its length
        if len(written) > len(seen):
            seen += written[len(seen) :]
    return seen


def _without_backspaced(line: str) -> str:
    left: list[str] = []
    for character in line:
        if character != "\b":
            left.append(character)
        elif left and left[-1] != "\r":
            left.pop()
    return "".join(left)
