"""JSON as the contract wants it, with every finding that needs no knowledge of the fields.

Stricter than Python's reader, which accepts NaN and repeated keys, and safer: whatever a body
holds, it raises nothing but `BadMessage`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, Findings, finding

MAX_DEPTH = 32
# Four times the largest message of a Service Bus that is not premium. What a text takes in memory
# is some 250 times its length at worst.
MAX_LENGTH = 1 << 20

# What Azure Pipelines leaves in place when it does not know a variable. `$(name)` is the macro,
# `${{ }}` a template expression, and `$[ ]`, which must be the whole value, a runtime expression.
_VARIABLE = re.compile(r"\$\([A-Za-z_][\w.\- ]*\)|\$\{\{[^}]*(?:\}\})?|^\s*\$\[.*\]\s*$", re.DOTALL)
# A command may hold `$(date)`, which is shell, and `${{inputs.data}}`, which is Azure ML: only
# the dotted macro, which is neither, counts there.
_VARIABLE_IN_COMMAND = re.compile(r"\$\([A-Za-z_]\w*(?:\.\w+)+\)")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Refused:
    """In place of a number that is not a value; `code` says what was wrong."""

    code: Code


class _Repeated(dict[str, Any]):
    """An object some keys of which came more than once; the last ones are in it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = [key for key, count in counts.items() if count > 1]


def read_object(text: str) -> tuple[dict[str, Any], Findings]:
    """A JSON object and what is wrong with it; what cannot be a value is None in it.

    Raises `BadMessage` when there is no object to go on with.
    """
    if len(text) > MAX_LENGTH:
        raise BadMessage([_too_large(len(text))])
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=lambda _: _Refused(Code.NOT_A_NUMBER),
        )
    except json.JSONDecodeError as error:
        # `from None`: the decoder's exception holds the whole text.
        raise BadMessage([_not_json(text, error)]) from None
    except RecursionError:
        raise BadMessage([finding(Code.TOO_DEEP, "", *_TOO_DEEP)]) from None
    if not isinstance(document, dict):
        raise BadMessage(
            [
                finding(
                    Code.NOT_AN_OBJECT,
                    "",
                    f"The JSON is {json_type(document)}, not an object.",
                    "Put the fields between `{` and `}`.",
                )
            ]
        )
    findings = Findings()
    cleaned: dict[str, Any] = _clean(document, (), findings)
    return cleaned, findings


def json_type(value: object) -> str:
    """What JSON calls the type of a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float() | _Refused():
            return "a number"
        case str():
            return "a string"
        case dict():
            return "an object"
        case _:
            return "a list"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else _Repeated(pairs)


def _integer(digits: str) -> int | _Refused:
    # Counted first: converting a very long number takes quadratic time, or is refused.
    fits = len(digits) <= 20 and -(2**63) <= int(digits) < 2**63
    return int(digits) if fits else _Refused(Code.NUMBER_TOO_LARGE)


def _float(digits: str) -> float | _Refused:
    value = float(digits)
    return value if math.isfinite(value) else _Refused(Code.NUMBER_TOO_LARGE)


def _clean(value: Any, at: tuple[str | int, ...], findings: Findings) -> Any:
    """The value without what cannot be used, each of which is added to the findings."""
    if len(at) > MAX_DEPTH:
        findings.add(Code.TOO_DEEP, at, *_TOO_DEEP)
        return None
    match value:
        case dict():
            _check_keys(value, at, findings)
            return {
                (plain := _usable(key)): _clean(each, (*at, plain), findings)
                for key, each in value.items()
            }
        case list():
            return [_clean(each, (*at, index), findings) for index, each in enumerate(value)]
        case str():
            _check_string(value, at, findings)
            return _usable(value)
        case _Refused():
            findings.add(value.code, at, *_NUMBERS[value.code])
            return None
        case None if "parameters" not in at:
            remedy = "Leave the field out for its default."
            findings.add(Code.WRONG_TYPE, at, "null is not a value here.", remedy)
        case _:
            pass
    return value


def _usable(text: str) -> str:
    return _UNUSABLE.sub("\ufffd", text)


def _check_keys(value: dict[str, Any], at: tuple[str | int, ...], findings: Findings) -> None:
    for key in value.repeated if isinstance(value, _Repeated) else ():
        findings.add(
            Code.DUPLICATE_KEY,
            (*at, _usable(key)),
            f"The key `{_usable(key[:80])}` comes more than once in one object.",
            "Keep one of them.",
        )
    for key in value:
        _check_string(key, (*at, _usable(key)), findings)


def _check_string(text: str, at: tuple[str | int, ...], findings: Findings) -> None:
    if _UNUSABLE.search(text):
        findings.add(
            Code.BAD_CHARACTER,
            at,
            "The string holds a NUL or half of a surrogate pair.",
            "Leave the character out: programs, files and logs cannot hold it.",
        )
    in_command = at[:1] == ("runs",) and at[2:] == ("command",)
    pattern = _VARIABLE_IN_COMMAND if in_command else _VARIABLE
    if found := pattern.search(text):
        findings.add(
            Code.UNEXPANDED_VARIABLE,
            at,
            f"The pipeline variable `{_usable(found[0].strip()[:80])}` was not expanded.",
            _NO_ADDRESS if at == ("repository", "url") else _NO_VARIABLE,
        )


# Which variables an agent alone knows: MicrosoftDocs/azure-devops-docs,
# docs/pipelines/build/includes/variables-hosted.md.
_NO_VARIABLE = (
    "Check its name and that it exists where the task runs: an agentless job knows no variables "
    "of an agent, such as `Agent.*`, `Build.Repository.*` and `Build.SourcesDirectory`."
)
_NO_ADDRESS = (
    "Write the repository's address out, as in "
    "`https://dev.azure.com/ORGANIZATION/PROJECT/_git/NAME`: an agentless job knows no variables "
    "of an agent, such as `Build.Repository.Uri` and `Build.Repository.Name`."
)
# A message and its remedy, for each.
_TOO_DEEP = (
    f"Objects and lists are nested more than {MAX_DEPTH} deep.",
    "Put deep structures into a file of the repository.",
)
_NUMBERS = {
    Code.NOT_A_NUMBER: (
        "NaN and Infinity are not JSON values.",
        "Give a number, or leave the field out.",
    ),
    Code.NUMBER_TOO_LARGE: (
        "The number does not fit into 64 bits.",
        "Give a smaller one; an identifier belongs in quotes.",
    ),
}


def _not_json(text: str, error: json.JSONDecodeError) -> Finding:
    where = f"line {error.lineno}, column {error.colno}"
    if variable := _VARIABLE.match(text, error.pos):  # where a number should be
        message = f"The pipeline variable `{variable[0][:80]}` was not expanded ({where})."
        remedy = "Outside of a pipeline, write a value in its place; inside, check its name."
        return finding(Code.UNEXPANDED_VARIABLE, "", message, remedy)
    message = f"The text is not JSON: {error.msg} ({where})."
    remedy = "Check quotes, commas and brackets there; comments are not JSON."
    return finding(Code.NOT_JSON, "", message, remedy)


def _too_large(length: int) -> Finding:
    return finding(
        Code.TOO_LARGE,
        "",
        f"The text has {length:,} characters, and at most {MAX_LENGTH:,} are read.",
        "Put what all runs have in common into `defaults`, and data into files of the repository.",
    )
