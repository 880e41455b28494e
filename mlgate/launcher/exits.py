"""Finds why a command failed, from its exit code and the exception at the end of its output."""

from __future__ import annotations

import re
import signal

from mlgate.launcher.origins import Origins
from mlgate.launcher.processes import exit_text, peak_memory
from mlgate.launcher.reasons import TRANSIENT, classify, explained
from mlgate.launcher.text import short_lines
from mlgate.launcher.tracebacks import RUNNER, ending
from mlgate.launcher.values import Failed

# The messages of shells, of `env` in a script's first line, and of Python. A name with a slash is a
# file of the run; a name without one is a program.
_NO_START = re.compile(
    r"python[\w.]*: can't open file|: bad interpreter|: cannot execute|\benv: .*: No such file"
    r"|: [^:]*/[^:]*: (not found|No such file or directory|Permission denied|Is a directory)"
    r"|^\w*sh: [^:]+: (No such file or directory|Permission denied|Is a directory)"
)
_NO_PROGRAM = re.compile(
    r"python[\d.]*: No module named|: (command )?not found"
    r"|[^\w/.-][^\s/:]+: No such file or directory"
)
_LAST = 40  # lines in which a runner may report the exit code of what it ran


def command_failure(code: int, tail: str, out_of_memory: bool, origins: Origins) -> Failed:
    """Why a command failed, from its exit code (negative: a signal) and the end of its output."""
    tail = short_lines(tail)  # some patterns take quadratic time
    lines = [line for line in tail.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    found = ending(tail) if _python_ended(code, lines) else None
    if code > 128 and code - 128 in set(signal.Signals):
        code = 128 - code  # a shell reports the signal that ended its last command in this way
    if code == -signal.SIGKILL and out_of_memory:
        how = f"{exit_text(code)}, peak memory {peak_memory()}"
        return Failed("out_of_memory", f"memory ran out: the command was {how}")
    if code == -signal.SIGABRT and "std::bad_alloc" in tail:
        return Failed("out_of_memory", f"memory ran out: the command was {exit_text(code)}")
    if code < 0:
        return Failed("code", f"the command was {exit_text(code)}")
    if start := _not_started(code, lines):
        return start
    if found:
        error, sure = found
        kind = classify(error, origins)
        if kind in TRANSIENT and not sure:
            kind = "code"
        return Failed(kind, explained(error), None, error.traceback)
    return Failed("code", f"the command {exit_text(code)}" + (f": {last}" if last else ""))


def _python_ended(code: int, lines: list[str]) -> bool:
    """Whether the exit code is Python's for an exception, or a runner reports that it was."""
    return code == 1 or any(RUNNER.search(line) for line in lines[-_LAST:])


def _not_started(code: int, lines: list[str]) -> Failed | None:
    """The failure of a command that could not start, from the message of what should start it."""
    started = code not in (126, 127)
    # Python's message is the last line. After a shell's message, the shell or a hook may add hints.
    for line in reversed(lines[-1:] if started else lines[-6:]):
        text = line.strip()
        if _NO_START.search(text) and (not started or "can't open file" in text):
            return Failed("invalid", f"the command could not start: {text}")
        if _NO_PROGRAM.search(text) and (not started or ": No module named" in text):
            return Failed("dependency", text)
    return Failed("dependency", exit_text(code)) if code == 127 else None
