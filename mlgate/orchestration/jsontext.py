"""JSON as the contract wants it, with every finding that needs no knowledge of the fields.

Stricter than Python's reader, which takes NaN and repeated keys, and kinder: nothing that a body
may hold makes it raise anything but `BadMessage`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, finding, pointer

MAX_DEPTH = 32

# What Azure Pipelines leaves in place when it does not know a variable. `$(name)` is the macro,
# `${{ }}` a template expression, and `$[ ]`, which must be the whole value, a runtime expression.
_VARIABLE = re.compile(r"\$\([A-Za-z_][\w.\- ]*\)|\$\{\{[^}]*(?:\}\})?|^\s*\$\[.*\]\s*$", re.DOTALL)
# A command may hold `$(date)`, which is shell, and `${{inputs.data}}`, which is Azure ML: only
# the dotted macro, which is neither, counts there.
_VARIABLE_IN_COMMAND = re.compile(r"\$\([A-Za-z_]\w*(?:\.\w+)+\)")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands where the reader met a number that is none; `code` says what it is."""

    code: Code


class _Repeated(dict[str, Any]):
    """An object some keys of which came more than once; the last ones are in it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = [key for key, count in counts.items() if count > 1]


def read_object(text: str) -> tuple[dict[str, Any], list[Finding]]:
    """A JSON object and what is wrong with it; what cannot be a value is None in it.

    Raises `BadMessage` when there is no object to go on with.
    """
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=lambda _: _Refused(Code.NOT_A_NUMBER),
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        # `from None`: the decoder's exception holds the whole text.
        raise BadMessage([_not_json(f"The text is not JSON: {error.msg} ({where}).")]) from None
    except RecursionError:
        raise BadMessage([_too_deep("")]) from None
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
    findings: list[Finding] = []
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


def _clean(value: Any, at: tuple[str | int, ...], findings: list[Finding]) -> Any:
    """The value without what cannot be used, each of which is added to the findings."""
    if len(at) > MAX_DEPTH:
        findings.append(_too_deep(pointer(*at)))
        return None
    match value:
        case dict():
            findings.extend(_of_keys(value, at))
            return {
                (plain := _usable(key)): _clean(each, (*at, plain), findings)
                for key, each in value.items()
            }
        case list():
            return [_clean(each, (*at, index), findings) for index, each in enumerate(value)]
        case str():
            findings.extend(_of_string(value, at))
            return _usable(value)
        case _Refused():
            findings.append(_of_number(value.code, pointer(*at)))
            return None
        case None if "parameters" not in at:
            findings.append(
                finding(
                    Code.WRONG_TYPE,
                    pointer(*at),
                    "null is not a value here.",
                    "Leave the field out for its default.",
                )
            )
        case _:
            pass
    return value


def _usable(text: str) -> str:
    return _UNUSABLE.sub("\ufffd", text)


def _of_keys(value: dict[str, Any], at: tuple[str | int, ...]) -> Iterator[Finding]:
    for key in value.repeated if isinstance(value, _Repeated) else ():
        yield finding(
            Code.DUPLICATE_KEY,
            pointer(*at, _usable(key)),
            f"The key `{_usable(key)[:80]}` comes more than once in one object.",
            "Keep one of them.",
        )
    for key in value:
        yield from _of_string(key, (*at, _usable(key)))


def _of_string(text: str, at: tuple[str | int, ...]) -> Iterator[Finding]:
    where = pointer(*at)
    if _UNUSABLE.search(text):
        yield finding(
            Code.BAD_CHARACTER,
            where,
            "The string holds a NUL or half of a surrogate pair.",
            "Leave the character out: no program, file or log could take it.",
        )
    in_command = at[:1] == ("runs",) and at[2:] == ("command",)
    pattern = _VARIABLE_IN_COMMAND if in_command else _VARIABLE
    if found := pattern.search(text):
        yield finding(
            Code.UNEXPANDED_VARIABLE,
            where,
            f"The pipeline variable `{found[0].strip()[:80]}` was not expanded.",
            "Check its name and that it exists where the task runs: an agentless job knows no "
            "variables of an agent, such as `Agent.*` and `Build.SourcesDirectory`.",
        )


def _of_number(code: Code, where: str) -> Finding:
    if code is Code.NOT_A_NUMBER:
        return finding(
            code,
            where,
            "NaN and Infinity are no JSON values.",
            "Give a number, or leave the field out.",
        )
    return finding(
        code,
        where,
        "The number does not fit into 64 bits.",
        "Give a smaller one; an identifier belongs in quotes.",
    )


def _not_json(message: str) -> Finding:
    return finding(
        Code.NOT_JSON,
        "",
        message,
        "Check quotes, commas and brackets there; comments are not JSON.",
    )


def _too_deep(where: str) -> Finding:
    return finding(
        Code.TOO_DEEP,
        where,
        f"Objects and lists are nested more than {MAX_DEPTH} deep.",
        "Put deep structures into a file of the repository.",
    )
