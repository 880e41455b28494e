"""All that mlgate prints and logs: text written by others cannot act on who shows it.

Messages, notebooks and servers put their words into names, reasons and logs. A terminal obeys
escape sequences in them (its title, its clipboard), a reader believes a line that they begin, and
an Azure Pipelines agent obeys `##vso[` wherever in a line it stands (`Command.TryParse` of
microsoft/azure-pipelines-agent). A runner of GitHub's obeys a line that begins with `::`, spaces
before it or not (`ActionCommand.TryParseV2` of actions/runner). So this is the only module that
prints, and each of its lines is one line.
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
_DIRECTION = "\u202a-\u202e\u2066-\u2069"  # these show a text in another order than it has
_UNSEEN = re.compile(f"[{_DIRECTION}]")
_NOT_IN_JSON = re.compile(f"[\x7f-\x9f\u2028\u2029{_DIRECTION}]")


def line_of(text: str) -> str:
    """`text` as one line that can be shown anywhere: without control characters, its own line ends
    as spaces, `##vso[` as `# #vso[`, and at its beginning `::` as `: :`."""
    line = re.sub("[\n\u2028\u2029]", " ", plain(text))
    return _GITHUB.sub(r"\1 ", _COMMAND.sub(" #", _UNSEEN.sub("", line)))


def say(line: str = "", *, file: TextIO | None = None) -> None:
    """Print one line; to standard output if nothing else is named."""
    print(line_of(line), file=file or sys.stdout, flush=True)


def complain(line: str) -> None:
    """Print one line to standard error."""
    say(line, file=sys.stderr)


def annotate(level: str, text: str, *, file: TextIO) -> None:
    """Print an annotation of GitHub Actions, "error" or "warning", which shows `text` as it is."""
    shown = line_of(text).replace("%", "%25")
    print(f"::{level} title=mlgate::{shown}", file=file, flush=True)


def say_json(value: object) -> None:
    """Print a JSON value to standard output, which an agent or a terminal may read as well."""
    say_json_text(json.dumps(value, indent=2))


def say_json_text(text: str) -> None:
    """Print JSON such that its values are what they were, but no command."""
    text = _NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    print(_COMMAND.sub(r"\\u0023", text).rstrip("\n"), flush=True)


class LogFormatter(logging.Formatter):
    """A record is one line; the lines of an exception below it are indented."""

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
    """Have all records of `level` and above written to standard error, each in one line."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def _indented(text: str) -> str:
    return "\n".join(f"  {line_of(line)}" for line in plain(text).splitlines())
