"""What can be wrong with how a command is used, and the message file that it names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlgate.hosts.terminal import complain
from mlgate.orchestration.errors import Finding


class UsageError(Exception):
    """The command line is wrong; the error's text says what to change."""


@dataclass(frozen=True, slots=True)
class WrongSetting:
    """Two clauses without a full stop."""

    name: str
    wrong: str
    remedy: str

    @property
    def finding(self) -> str:
        return f"{self.name}: {self.wrong}."

    @property
    def advice(self) -> str:
        return f"Correct {self.name}: {self.remedy}."

    def __str__(self) -> str:
        return f"{self.name}: {self.wrong}; {self.remedy}."


class SettingsError(Exception):
    """The settings cannot be used; its text has a line for each of them."""

    def __init__(self, *settings: WrongSetting) -> None:
        super().__init__("\n".join(map(str, settings)))
        self.settings = settings


def read_message(path: str) -> bytes:
    """The bytes of a message file, or of standard input for `-`; raises `UsageError`."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the message {path} cannot be read: {error.strerror}") from error


def print_findings(findings: Sequence[Finding]) -> None:
    """Print every finding about a message to standard error, one per paragraph."""
    noun = "finding" if len(findings) == 1 else "findings"
    complain(f"mlgate: the message is not valid: {len(findings)} {noun}")
    for finding in findings:
        complain(f"  {finding.pointer or '/'}  [{finding.code}]")
        complain(f"    {finding.message} {finding.remedy}")
