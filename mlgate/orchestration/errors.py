"""Errors, sorted by what the queue must do about them.

    OrchestrationError
    ├── Temporary   try again after `delay`
    │   ├── Throttled   ... and ask for nothing else of that kind until then
    │   └── Busy        somebody else has it: not a fault, and not counted as one
    ├── Permanent   trying again cannot help: the build fails with this sentence
    │   ├── UnusableEnvironment   of one run: its environment cannot be made
    │   └── UnfitHost   this host lacks an identity, a right or a package that the build needs
    └── BadMessage  the message itself is wrong: reject it with its findings

Handlers translate what their outside thing raises into one of these at the place where they
know what it means. Only the engine sorts them. The message of each is one sentence for
people, with a remedy where there is one, and never holds a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class OrchestrationError(Exception):
    """The root: catch its children, not it."""


class Temporary(OrchestrationError):
    """An outside thing does not answer now, throttles, or is busy."""

    def __init__(self, message: str, delay: float = 5.0) -> None:
        super().__init__(message)
        self.delay = delay  # seconds, the least to wait


class Throttled(Temporary):
    """An outside thing asks this host to wait, whatever it asks for."""


class Busy(Temporary):
    """Somebody else has what this needs for the moment: waiting for one's turn is not a fault."""


class Permanent(OrchestrationError):
    """An outside thing said no, and will say so again."""


class UnusableEnvironment(Permanent):
    """The environment that a run asks for cannot be made."""


class UnfitHost(Permanent):
    """This host lacks what the build needs; the message and the repository are not at fault."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a message: a stable code, where (RFC 6901 pointer), what, what to do."""

    code: str
    pointer: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'} [{self.code}]: {self.message} {self.remedy}".strip()


class BadMessage(OrchestrationError):
    """The message can never be handled; every finding at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = tuple(findings)
