"""Globs over a list of files: what `glob` does on a disk, without the disk.

`*` and `?` stay within one folder and leave hidden names alone, `**` is any number of folders.
Matching goes segment by segment, so that no pattern takes exponential time, and one much longer
than the paths takes none.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable


def is_glob(path: str) -> bool:
    return any(character in path for character in "*?[")


def matches(pattern: str, files: Iterable[str]) -> list[str]:
    """The files that match, in their order; paths and pattern are relative, with `/`."""
    segments = _segments(pattern)
    fewest = sum(segment != "**" for segment in segments)  # names of a path that matches
    # The last name rules out most files of a big repository, and costs least.
    last = re.compile(fnmatch.translate("*" if segments[-1] == "**" else segments[-1]))
    return [
        file
        for file in files
        if last.match(file.rpartition("/")[2])
        and len(names := file.split("/")) >= fewest
        and _match(segments, names)
    ]


def _segments(pattern: str) -> list[str]:
    """The pattern's names; `**` after `**` says nothing more."""
    segments: list[str] = []
    for segment in pattern.split("/"):
        if segment != "**" or segments[-1:] != ["**"]:
            segments.append(segment)
    return segments


def _match(pattern: list[str], names: list[str]) -> bool:
    """`reached[i]`: the pattern so far matches the first i names."""
    reached = [True] + [False] * len(names)
    for segment in pattern:
        if segment == "**":
            for index, name in enumerate(names):
                reached[index + 1] |= reached[index] and not name.startswith(".")
        else:
            fits = [_segment(segment, name) for name in names]
            reached = [False] + [reached[index] and fits[index] for index in range(len(names))]
    return reached[-1]


def _segment(pattern: str, name: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, pattern)
