"""Reads exceptions from the output of a program: Python's own tracebacks.

Anything that would record the exception directly has to be imported before the program, through
`PYTHONPATH` or a file among its packages. That would change the run, so its output is read instead.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlgate.launcher.drawings import SUB_EXCEPTION, undrawn
from mlgate.launcher.origins import package_of
from mlgate.launcher.text import short_lines
from mlgate.launcher.values import Frame, Raised

CAUSE = "The above exception was the direct cause of the following exception"
DURING = "During handling of the above exception, another exception occurred"

_HEADER = re.compile(r"Traceback \(most recent call last\):?$")
_FRAME = re.compile(r'  +File "(.*?)", line \d+(?:, in (.*))?$')
_END = re.compile(r"([A-Za-z_][\w.]*(?:\.<locals>\.[\w.]+)*)(?:: ?(.*))?$")
_RAISE = re.compile(r"(.*[:;])?\s*raise\b")
_MARGIN = re.compile(r"( *)([|+])(?: |$|(?=[-+]))")
_MEMBER = re.compile(r"( *)\+(?:-\+)?-+ (?:\d+|\.\.\.) -+$")

# These lines introduce exceptions that did not end the program: ignored ones, and those of threads
# and child processes.
_ELSEWHERE = re.compile(
    r"Exception ignored |Exception in thread |Process \S+:$|Task exception was never retrieved"
    r"|Error in (sys\.excepthook|atexit)|future: <Task|Original exception was"
)
# Where a program's own frames begin. A traceback that begins deeper was printed by its handler.
_OUTERMOST = {"<module>", "_run_module_as_main", "<cell line>"}
_RECORD = re.compile(r"\b(ERROR|CRITICAL|FATAL|EXCEPTION)\b")

# What may follow the exception that ended a program: progress bars, warnings at its exit, and a
# message of its runner.
RUNNER = re.compile(
    r"(?:exit(?:ed)?(?: with)?(?: exit)?(?:[- ]?code| status)?:?|Error"
    r"|returned non-zero.*status) 1\b"
)
_AFTERWARDS = re.compile(
    r"\s*$|.*\d+%\s*[|\u2500-\u259f#=>.]|.*\d(it/s|s/it)\b|[\u2500-\u259f\s]+$|.*:\d+: \w*Warning: "
    r"|  warnings\.warn\(|Unclosed |(client_session|connector|connections): |sys:1: "
    r"|wandb: |[\U0001f300-\U0001faff]|\[(rank\d+\]:\[)?W\d|make(\[\d+\])?: "
    r"|(real|user|sys)\s+\d+m[\d.,]+s$|Command exited with non-zero status|[\d.]+user [\d.]+system "
    r"|\d+inputs\+\d+outputs "  # of `time`
)
# How libraries begin the further lines of a message.
_CONTINUED = re.compile(
    r"[\s(\[<>{}]|\*\*|\.\.\.|For more information|Compile with|For debugging|Hint:|HINT:|DETAIL:"
    r"|(Error ?Code|Code|Message|Content|Status|Reason|Details?|Target|Time|Request ?I[dD]"
    r"|Exception Details|Inner error|AdditionalInformation|HTTP response \w+):"
)
# Messages that always have one line.
_COMPLETE = re.compile(
    r"\[Errno -?\d+\].*|No module named .*|<urlopen error .*>|cannot import name .*"
    r"|HTTPS?Connection(Pool)?\(.*|\('Connection aborted.*|HTTP Error \d+: .*|timed out|"
)


@dataclass(frozen=True)
class _Block:
    """One traceback among the lines, from `begin` up to `end`, the line after its message."""

    begin: int
    end: int
    raised: Raised
    drawn: bool  # in a box, so it need not begin where the program does


def last_raised(text: str) -> Raised | None:
    """The exception of the last traceback in a text, with what it was raised from."""
    text = short_lines(text)
    lines = undrawn(text)
    blocks = _blocks(lines)
    return _chained(lines, blocks)[0] if blocks else _syntax_error(text)


def ending(text: str) -> tuple[Raised, bool] | None:
    """The exception that ended a program with this output, and whether that is sure.

    None if the last one was caught: the program printed more after it, its traceback begins inside
    the program, or it was a thread's. It is not sure if it may be part of a log record.
    """
    lines = undrawn(text)
    blocks = [each for each in _blocks(lines) if not _ELSEWHERE.match(_before(lines, each.begin))]
    if not blocks:
        error = _syntax_error(text)
        return (error, True) if error else None
    last = blocks[-1]
    raised, begin = _chained(lines, blocks)
    if not last.drawn and not _begins_outermost(last.raised):
        return None
    more = [line for line in _rest(lines, last.end) if not _after(line)]
    if more and _is_complete(lines[last.end - 1], raised.message):
        return None
    return raised, not more and not _RECORD.search(_before(lines, begin))


def _begins_outermost(raised: Raised) -> bool:
    """Whether the traceback begins where a program does, or where IPython executes one."""
    first = raised.frames[0] if raised.frames else Frame("", "<module>")
    return first.function in _OUTERMOST or package_of(first.file) == "IPython"


def _is_complete(line: str, message: str) -> bool:
    """Whether a message has no further lines, judged by its first line."""
    return _COMPLETE.fullmatch(message) is not None and not line.rstrip().endswith(":")


def _message(lines: Sequence[str], index: int, first: str) -> tuple[str, int]:
    """A message with its further lines, and the index of the line after it."""
    end = index + 1
    if _is_complete(lines[index], first):
        return first, end
    at = end
    while at < len(lines) and not (_HEADER.search(lines[at]) or _ELSEWHERE.match(lines[at])):
        line = lines[at]
        if line.strip() and (_after(line) or not _CONTINUED.match(line)):
            break
        if CAUSE in line or DURING in line or SUB_EXCEPTION in line:
            break
        at += 1
        if line.strip():
            end = at
    return "\n".join([first, *lines[index + 1 : end]]), end


def _rest(lines: Sequence[str], begin: int) -> list[str]:
    """The lines after an exception, up to reports of others at the program's exit."""
    rest = list(lines[begin:])
    for index, line in enumerate(rest):
        if _ELSEWHERE.match(line):
            return rest[:index]
    return rest


def _after(line: str) -> bool:
    return bool(_AFTERWARDS.match(line) or RUNNER.search(line))


def _before(lines: Sequence[str], begin: int) -> str:
    """The last line before `begin` that is not empty."""
    return next((line for line in reversed(lines[:begin]) if line.strip()), "")


def _blocks(lines: Sequence[str]) -> list[_Block]:
    blocks: list[_Block] = []
    index = 0
    while index < len(lines):
        if not _HEADER.search(lines[index]):
            index += 1
            continue
        if _MARGIN.match(lines[index]) and "Group" in lines[index]:
            block = _group(lines, index)
        else:
            drawn = "Traceback (most recent call last):" not in lines[index]
            block = _plain(lines, index, drawn=drawn)
        if block is None:
            index += 1
            continue
        quotes = lines[block.end - 1].rstrip().endswith(":")
        if quotes and block.end < len(lines) and _HEADER.search(lines[block.end]):
            # As in `raise RuntimeError("the program failed:\n" + its_output)`.
            quoted = _plain(lines, block.end, drawn=False)
            block = replace(block, end=quoted.end if quoted else block.end)
        blocks.append(block)
        index = block.end
    return blocks


def _plain(lines: Sequence[str], begin: int, *, drawn: bool) -> _Block | None:
    frames: list[Frame] = []
    index, awaited = begin + 1, False
    while index < len(lines) and (lines[index].startswith(" ") or not lines[index].strip()):
        if found := _FRAME.match(lines[index]):
            frames.append(Frame(found[1], found[2] or "<module>"))
            awaited = True
        elif awaited and lines[index].strip():  # the source, if Python found it
            frames[-1] = replace(frames[-1], raises=_RAISE.match(lines[index]) is not None)
            awaited = False
        index += 1
    end = _END.match(lines[index]) if index < len(lines) else None
    if end is None:
        return None
    message, behind = _message(lines, index, end[2] or "")
    raised = _named(end[1], message, drawn=drawn)
    if awaited and frames[-1].file.startswith("<"):  # no source is shown, so it may raise
        frames[-1] = replace(frames[-1], raises=True)
    deeper = [replace(frame, raises=False) for frame in frames[:-1]]
    return _Block(begin, behind, replace(raised, frames=(*deeper, *frames[-1:])), drawn)


def _named(name: str, message: str, *, drawn: bool) -> Raised:
    """The exception with this name. Python omits the module of built-in classes and of the
    program's own; drawn tracebacks omit every module."""
    short = name.rpartition(".")[2]
    known = not drawn or "." in name or hasattr(builtins, name)
    module = "" if "." in name else "builtins." if hasattr(builtins, name) else "__main__."
    return Raised(short, message, classes=(f"{module}{name}",) if known else ())


def _group(lines: Sequence[str], begin: int) -> _Block | None:
    """An exception group. Its members are the innermost exceptions, including those of groups in
    it."""
    segments: list[tuple[int, list[str]]] = [(0, [])]
    index = begin
    while index < len(lines) and (margin := _MARGIN.match(lines[index])):
        line = lines[index]
        if _MEMBER.match(line):
            segments.append((line.rindex("+"), []))
        elif not re.fullmatch(r" *\+-+", line):
            segments[-1][1].append(line[margin.end() :])
        index += 1
    whole = [part for _, part in segments]
    head = _plain(whole[0], 0, drawn=False) if whole[0] else None
    if head is None:
        return None
    members = []
    for number, (column, part) in enumerate(segments[1:], 1):
        deeper = number + 1 < len(segments) and segments[number + 1][0] > column
        if not deeper and (member := _member(part)):
            members.append(member)
    return _Block(begin, index, replace(head.raised, members=tuple(members)), False)


def _member(lines: Sequence[str]) -> Raised | None:
    if blocks := _blocks(lines):
        return _chained(lines, blocks)[0]
    end = _END.match(lines[0]) if lines else None
    return _named(end[1], end[2] or "", drawn=False) if end else None


def _chained(lines: Sequence[str], blocks: Sequence[_Block]) -> tuple[Raised, int]:
    """The last exception with its causes and traceback, and the line where the first one begins."""
    members: list[_Block] = []
    heads = list(blocks)
    while len(heads) > 1 and any(
        SUB_EXCEPTION in line for line in lines[heads[-2].end : heads[-1].begin]
    ):
        members.insert(0, heads.pop())
    first = last = len(heads) - 1
    cause: Raised | None = None
    links: list[tuple[int, str]] = []
    while first > 0:
        between = "\n".join(lines[heads[first - 1].end : heads[first].begin])
        how = CAUSE if CAUSE in between else DURING if DURING in between else ""
        if not how:
            break
        first -= 1
        links.append((first, how))
    for number, how in reversed(links):
        inner, outer = heads[number].raised, heads[number + 1].raised
        inner = replace(inner, causes=(cause,) if cause else ())
        cause = inner if how == CAUSE or _raised_for(outer, inner) else None
    end = members[-1].end if members else heads[last].end
    shown = "\n".join(lines[heads[first].begin : end + 20]).strip()
    at = shown.find("Traceback (most recent")
    raised = replace(
        heads[last].raised, causes=(cause,) if cause else (), traceback=shown[max(at, 0) :]
    )
    if members:
        leaves = [each.raised for each in members if not each.raised.name.endswith("Group")]
        raised = replace(raised, members=tuple(leaves))
    return raised, heads[first].begin


def _raised_for(outer: Raised, inner: Raised) -> bool:
    """Whether a `raise` statement in the inner exception's handler raised the outer one."""
    if not outer.frames or not inner.frames or not outer.frames[-1].raises:
        return False
    raising, catching = outer.frames[-1], inner.frames[0]
    return (raising.file, raising.function) == (catching.file, catching.function)


def _syntax_error(text: str) -> Raised | None:
    """The syntax error at the end of a text, as Python shows it for code that it cannot compile."""
    found = re.search(r'(?:^|\n)(  File ".*", line \d+\n(?: +.*\n)*(\w+Error): (.*))\s*$', text)
    if not found:
        return None
    return Raised(found[2], found[3], found[1], classes=(f"builtins.{found[2]}",))
