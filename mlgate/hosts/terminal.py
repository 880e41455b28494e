"""Everything mlgate prints and logs, with untrusted text made harmless.

Messages, notebooks and servers decide the text of names, reasons and logs. A terminal obeys escape
sequences in it (title, clipboard), and a line break in it can fake a line of ours. An Azure
Pipelines agent obeys `##vso[` anywhere in a line (`Command.TryParse` of
microsoft/azure-pipelines-agent). A GitHub runner obeys a line that begins with `::`, with or
without spaces before it (`ActionCommand.TryParseV2` of actions/runner). So only this module prints,
and what it prints as one line is one line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from types import TracebackType
from typing import TextIO

from mlgate.orchestration.text import plain

_COMMAND = re.compile(r"(?<=#)#(?=(?:vso)?\[)", re.IGNORECASE)  # the second # of `##vso[`, `##[`
_GITHUB = re.compile(r"^(\s*:)(?=:)")  # the first : of `::error::`
_DIRECTION = "\u202a-\u202e\u2066-\u2069"  # these make text appear in another order
_UNSEEN = re.compile(f"[{_DIRECTION}]")
_NOT_IN_JSON = re.compile(f"[\x7f-\x9f\u2028\u2029{_DIRECTION}]")


def line_of(text: str) -> str:
    """`text` as one line that is safe to show anywhere.

    Control characters are removed, line ends become spaces, `##vso[` becomes `# #vso[`, and `::` at
    the beginning becomes `: :`.
    """
    line = re.sub("[\n\u2028\u2029]", " ", plain(text))
    return _GITHUB.sub(r"\1 ", _COMMAND.sub(" #", _UNSEEN.sub("", line)))


class OutputError(Exception):
    """Standard output cannot be written, for example because its disk is full."""


def say(line: str = "", *, file: TextIO | None = None) -> None:
    """Print one line, to standard output by default. Raises as `_print`."""
    _print(line_of(line), file or sys.stdout)


def complain(line: str) -> None:
    """Print one line to standard error."""
    say(line, file=sys.stderr)


def annotate(level: str, text: str, *, file: TextIO) -> None:
    """Print a GitHub Actions annotation with `text`; `level` is "error" or "warning"."""
    shown = line_of(text).replace("%", "%25")
    _print(f"::{level} title=mlgate::{shown}", file)


def say_json(value: object) -> None:
    """Print a JSON value to standard output."""
    say_json_text(json.dumps(value, indent=2))


def say_json_text(text: str) -> None:
    """Print JSON text, with escapes for what a terminal or an agent would obey.

    Its values stay the same.
    """
    text = _NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    _print(_COMMAND.sub(r"\\u0023", text).rstrip("\n"), sys.stdout)


def _print(text: str, file: TextIO) -> None:
    """Raises `BrokenPipeError` if nobody reads standard output any more, else `OutputError`.

    What standard error cannot take is dropped, as there is nowhere left to say so.
    """
    try:
        print(text, file=file, flush=True)
    except OSError as error:
        if file is sys.stderr:
            return
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


class LogFormatter(logging.Formatter):
    """Formats a record as one line, with the lines of its exception indented below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        return line_of(super().formatMessage(record))

    def formatException(  # noqa: N802 -- logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 -- logging's name
        return _indented(super().formatStack(stack_info))


def log_to_stderr(level: int) -> None:
    """Write all records of `level` and above to standard error, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def _indented(text: str) -> str:
    return "\n".join(f"  {line_of(line)}" for line in plain(text).splitlines())
