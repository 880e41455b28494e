"""Turns the tracebacks that rich, Typer and IPython draw into lines like those of Python's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

SUB_EXCEPTION = "Sub-exception #"
HEADER = "Traceback (most recent call last)"  # without a colon, unlike Python's own

_BOX = re.compile(r"(╭|\+)[─-]+ " + re.escape(HEADER) + r" [─-]+(╮|\+)")
_BOTTOM = re.compile(r"╰─{20,}╯$")
_IPYTHON = re.compile(r"(\w+) {2,}" + re.escape(HEADER) + r"$")
# As versions of IPython write it: `File x.py:3, in f()`, `Cell In[1], line 2`, `x.py in f()`.
_PLACE = re.compile(
    r"(?:File )?(?=.*(?:, line \d|:\d|\bin ))((?:Cell |Input )?In *\[[^]]*\]|[<~/.\w][^:()]*?)"
    r"(?:(?:, line |:)(\d+))?(?:,? in (.*))?$"
)
# An exception may begin on the line of an unfinished progress bar.
_BEHIND = tuple(
    re.compile(rf"(.*[^\s|+].*?)({begin}{re.escape(HEADER)}:)$")
    for begin in (r" *\+ Exception Group ", "")
)


def undrawn(text: str) -> list[str]:
    """The lines of a text, with drawn tracebacks replaced by `File` lines, sources and the
    exception."""
    lines = [part for line in text.split("\n") for part in _parted(line)]
    while lines and not lines[-1].strip():
        lines.pop()
    drawn = [_BOX.search(line) is not None for line in lines]
    if not any(drawn) and (end := next(filter(_BOTTOM.match, lines), None)):
        header = f" {HEADER} ".center(len(end) - 2, "─")  # the text was cut off after it
        lines, drawn = [f"╭{header}╮", *lines], [True]
    if any(drawn):
        lines = list(_unboxed(lines))
    if any(_IPYTHON.search(line) for line in lines):
        lines = list(_without_ipython(lines))
    return lines


def _parted(line: str) -> Sequence[str]:
    if line.endswith(f"{HEADER}:") and "+ Exception Group" not in line[:24]:
        for behind in _BEHIND:
            if found := behind.match(line):
                return [found[1], found[2]]
    return [line]


def _unboxed(lines: Sequence[str]) -> Iterator[str]:
    """Removes the boxes of rich, which may be nested, and whose lines are padded to the width."""
    width, ascii_only, skipping = 0, False, False
    place: list[str] = []
    rest = iter(range(len(lines)))
    for index in rest:
        line = lines[index]
        if header := _BOX.search(line):
            if header.start() == 0 or not width:
                width, ascii_only = len(line) - header.start(), header[1] == "+"
            yield from _placed(place)
            place = []
            yield HEADER
            continue
        if not width:
            yield line
            continue
        inner = _inner(line, ascii_only=ascii_only)
        if inner is None:  # outside all boxes: the exception, wrapped
            yield from _placed(place)
            place = []
            if line.strip():
                count, whole = _unwrapped(lines, index, width)
                yield whole
                for _ in range(count):
                    next(rest, None)
            else:
                yield line
        elif skipping:
            skipping = not inner.startswith(("╰", "+"))
        elif re.match(r"[╭+][─-]+ locals [─-]+", inner):
            skipping = True
            yield from _placed(place)
            place = []
        elif SUB_EXCEPTION in inner:
            yield inner.strip("╭╮─+- ")
        elif found := re.match(r"[❱>] *\d+ (?:[│|] *)*(.*)", inner):
            yield f"    {found[1]}"
        elif re.match(r" *\d+ |[╰+]", inner) or not inner:
            yield from _placed(place)
            place = []
        elif re.match(r"[\w.]+(Error|Exception|Group|Warning|Exit|Interrupt)\b", inner):
            yield inner  # the exception of a group's member
        else:
            place.append(inner)
            if re.search(r":\d+ in \S+$|^in \S+:\d+$", " ".join(place)):
                yield from _placed(place)
                place = []
    yield from _placed(place)


def _inner(line: str, *, ascii_only: bool) -> str | None:
    """The content of the innermost box; None outside all boxes."""
    line = line.strip()
    edges = "|" if ascii_only else "│"
    if not line.startswith((edges, "╭", "╰")) and not (ascii_only and line.startswith("+-")):
        return None
    while line.startswith(edges):
        line = line[1:].strip()
        if line.endswith(edges):
            line = line[:-1].rstrip()
    return line


def _placed(place: Sequence[str]) -> Iterator[str]:
    """A frame: `file:12 in function`, which may be wrapped, or `in function:12` without a file."""
    text = " ".join(place).strip()
    if found := re.fullmatch(r"(.+):(\d+) in (\S+)", text):
        yield f'  File "{found[1].replace(" ", "")}", line {found[2]}, in {found[3]}'
    elif found := re.fullmatch(r"in (\S+):(\d+)", text):
        yield f'  File "<string>", line {found[2]}, in {found[1]}'


def _unwrapped(lines: Sequence[str], index: int, width: int) -> tuple[int, str]:
    """How many further lines a wrapped line has, and the whole line."""
    whole, count, last = lines[index].rstrip(), 0, len(lines[index].rstrip())
    while index + count + 1 < len(lines):
        further = lines[index + count + 1]
        first = further.split(" ", 1)[0]
        if not first or last + 1 + len(first) <= width:
            break
        folded = last >= width
        whole += further if folded else f" {further}"
        last = len(further)
        count += 1
    return count, whole


def _without_ipython(lines: Sequence[str]) -> Iterator[str]:
    name = ""
    for line in lines:
        if header := _IPYTHON.search(line):
            name = header[1]
            yield HEADER
        elif not name:
            yield line
        elif re.match(rf"(?:[\w.]+\.)?{name}(:|$)", line):
            name = ""
            yield line
        elif found := re.match(r"-+> *\d+ ?(.*)", line):
            yield f"    {found[1].strip()}"
        elif found := _PLACE.match(line):
            function = (found[3] or "").partition("(")[0].strip()
            if not function or function.startswith("<cell line"):
                function = "<module>"
            yield f'  File "{found[1]}", line {found[2] or 1}, in {function}'
        else:
            yield ""
