"""The vocabulary of findings: their codes, and how a finding is put together.

Codes are part of the public contract: people filter and search by them, so a code is never
renamed and never means something else. Findings never repeat a value of the message, except names
and words of a closed list: a value may be somebody's secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum

from mlgate.orchestration.errors import BadMessage, Finding

MOST_FINDINGS = 50  # listed of one message: a pipeline's log is for people
LONGEST = 500  # characters of a pointer, a message or a remedy


class Code(StrEnum):
    """What kind of thing is wrong; `meaning` is one line for the documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Code:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    NOT_TEXT = "not-text", "The body is neither UTF-8 nor a DataContract string."
    BAD_WRAPPING = "bad-wrapping", "The body is a broken DataContract string."
    TOO_LARGE = "too-large", "The text is longer than the limit."
    NOT_JSON = "not-json", "The text is not JSON."
    NOT_AN_OBJECT = "not-an-object", "The JSON is not an object."
    TOO_DEEP = "too-deep", "Objects and lists are nested too deeply."
    DUPLICATE_KEY = "duplicate-key", "An object has the same key twice."
    NOT_A_NUMBER = "not-a-number", "NaN and Infinity are not JSON."
    NUMBER_TOO_LARGE = "number-too-large", "A number does not fit into 64 bits."
    BAD_CHARACTER = "bad-character", "A string holds a NUL or half of a surrogate pair."
    UNEXPANDED_VARIABLE = "unexpanded-variable", "A pipeline variable was not expanded."
    MORE_FINDINGS = "more-findings", "There are more findings than are listed."

    BAD_VERSION = "bad-version", "The contract version is not one this host knows."
    UNKNOWN_KIND = "unknown-kind", "The kind of message is not known."
    UNKNOWN_FIELD = "unknown-field", "The contract has no such field here."
    MISSING_FIELD = "missing-field", "A required field is not there."
    WRONG_TYPE = "wrong-type", "A value has another JSON type than the contract says."
    UNKNOWN_VALUE = "unknown-value", "A value is not in the contract's closed list."
    OUT_OF_RANGE = "out-of-range", "A number, or the length of a list or string, is not allowed."
    BAD_FORMAT = "bad-format", "A string does not have the form that it must have."
    UNSAFE_PATH = "unsafe-path", "A path is absolute, leaves the repository or is not portable."
    CONFLICTING_FIELDS = "conflicting-fields", "Fields that exclude one another are both given."
    SECRET_IN_URL = "secret-in-url", "A URL holds a password or token."

    MISSING_PLAN = "missing-plan", "The file that `runs_from` names is not in the repository."
    DUPLICATE_NAME = "duplicate-name", "Two runs have the same name, or differ in `-` and `_` only."
    UNKNOWN_NEED = "unknown-need", "A run needs a run that does not exist."
    CYCLE = "cycle", "Runs need one another in a circle."
    UNKNOWN_RUN = (
        "unknown-run",
        "A gate metric, `promote` or a serving run names a run that does not exist.",
    )
    NOTHING_TO_SERVE = "nothing-to-serve", "A serving run is named as the one that keeps a model."
    DUPLICATE_COMPARISON = "duplicate-comparison", "A metric of a run is compared more than once."
    UNREACHABLE_GATE = "unreachable-gate", "The gate requires more runs than there are."
    TOO_MANY_RUNS = "too-many-runs", "There are more runs than a build may have."
    PLAN_TOO_LARGE = "plan-too-large", "The runs hold more text than a build can remember."

    UNAVAILABLE_REPOSITORY = (
        "unavailable-repository",
        "The repository cannot be fetched at its ref.",
    )
    NO_MATCH = "no-match", "A glob matches no notebook."
    MISSING_NOTEBOOK = "missing-notebook", "A notebook is not in the repository."
    MISSING_DIRECTORY = "missing-directory", "A working directory is not in the repository."
    MISSING_ENVIRONMENT = "missing-environment", "An environment's file is not in the repository."
    MISSING_SCRIPT = "missing-script", "The Python file that a command runs is not there."
    MISSING_REQUESTS = "missing-requests", "The file of a serving run's requests is not there."
    MISSING_LOCUSTFILE = "missing-locustfile", "The locustfile of a serving run is not there."
    BAD_REQUESTS = "bad-requests", "A file of requests does not hold a list of them."
    MISSING_DATA = "missing-data", "A notebook reads a file that is not there."
    UNREADABLE_NOTEBOOK = "unreadable-notebook", "A file is not a notebook that can be read."
    WRONG_LANGUAGE = "wrong-language", "A notebook or kernel is not for Python."
    UNKNOWN_PARAMETER = "unknown-parameter", "A notebook does not define a parameter it is given."
    SYNTAX_ERROR = "syntax-error", "A code cell is not valid Python 3."

    MISSING_PROPERTY = "missing-property", "A property that identifies the message is missing."
    BAD_PROPERTY = "bad-property", "An application property is malformed."
    REPOSITORY_NOT_ALLOWED = "repository-not-allowed", "This host does not clone the repository."
    BACKEND_NOT_ALLOWED = "backend-not-allowed", "This host does not allow the backend."
    WORKSPACE_NOT_ALLOWED = "workspace-not-allowed", "This host does not allow the workspace."
    COLLECTION_NOT_ALLOWED = "collection-not-allowed", "This host sends no callback to that server."
    NO_WORKSPACE = "no-workspace", "Neither the message nor the host names a workspace."
    MODEL_NOT_ALLOWED = "model-not-allowed", "This host does not allow this change of the model."
    SERVICE_NOT_ALLOWED = "service-not-allowed", "This host sends no request to that server."

    ALREADY_JUDGED = "already-judged", "The build that this step and attempt identify has ended."
    DIFFERENT_BODY = "different-body", "An open build of the same identity has another message."
    NOT_STORED = "not-stored", "This host could not start the build for ten minutes."
    NO_ATTEMPT = "no-attempt", "Warning: the pipeline cannot run this message again."
    UNKNOWN_KERNEL = "unknown-kernel", "Warning: a notebook may run with another Python kernel."


def finding(code: Code, where: str, message: str, remedy: str) -> Finding:
    """`where` is an RFC 6901 pointer; `message` and `remedy` are sentences.

    They hold words of the message, so they are made fit for a terminal, and cut to `LONGEST`.
    """
    return Finding(code.value, _shown(where), _shown(message), _shown(remedy))


class Findings:
    """What is wrong with one message: the first `MOST_FINDINGS`, and how many more there are.

    A message can be wrong in more places than anybody reads, so the rest is only counted.
    """

    def __init__(self, listed: Iterable[Finding] = ()) -> None:
        self.listed = list(listed)
        self.more = 0

    @property
    def full(self) -> bool:
        return len(self.listed) >= MOST_FINDINGS

    def __bool__(self) -> bool:
        return bool(self.listed)

    def add(
        self,
        code: Code,
        where: str | tuple[str | int, ...],
        message: str,
        remedy: str | Callable[[], str],
    ) -> None:
        """As `finding`; a place given as its parts, and a remedy to be made, are made if listed."""
        if self.full:
            self.more += 1
            return
        where = where if isinstance(where, str) else pointer(*where)
        remedy = remedy if isinstance(remedy, str) else remedy()
        self.listed.append(finding(code, where, message, remedy))

    def all(self) -> tuple[Finding, ...]:
        """Those that are listed, and one that says how many are not."""
        if not self.more:
            return tuple(self.listed)
        verb = "finding is" if self.more == 1 else "findings are"
        message = f"{self.more} more {verb} not listed."
        rest = finding(Code.MORE_FINDINGS, "", message, "Correct those above first.")
        return (*self.listed, rest)

    def check(self) -> None:
        """Raises `BadMessage` when anything was found."""
        if self.listed:
            raise BadMessage(self.all())


def _shown(text: str) -> str:
    """On one line, without control characters; the middle of a long text is left out."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 100]}…{text[-99:]}"
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in text
    )


def pointer(*parts: str | int) -> str:
    """The RFC 6901 pointer to a place in a JSON document; the document itself is ""."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def inside(file: str, findings: Iterable[Finding]) -> list[Finding]:
    """Findings about another file than the message: `plans/nightly.json#/runs/0/path`."""
    return [replace(each, pointer=_shown(f"{file}#{each.pointer}")) for each in findings]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant, whatever its case and separators."""
    plain = {re.sub(r"[\W_]", "", each).lower(): each for each in known}
    close = difflib.get_close_matches(re.sub(r"[\W_]", "", word).lower(), plain, 1)
    return plain[close[0]] if close else None


def choices(word: str, known: Iterable[str]) -> str:
    """A remedy: the nearest known word, or else all of them."""
    known = list(known)
    if (close := nearest(word, known)) is not None:
        return f"Did you mean `{close}`?"
    return f"Known here: {', '.join(f'`{each}`' for each in known[:30]) or 'none'}."
