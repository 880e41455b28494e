"""What pydantic says is wrong with an object, as findings for people.

Pydantic's own sentences speak of Python types and repeat the value; these name the field, what it
takes, and what was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import Code, Findings, choices, finding, pointer
from mlgate.orchestration.wire.json_text import json_type

Place = tuple[str | int, ...]

_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "tuple_type": "a list",
}

# Types that people write between quotes, because the value is a pipeline variable.
_UNQUOTED = {
    "an integer": re.compile(r"-?\d+"),
    "a number": re.compile(r"-?\d+(\.\d+)?"),
    "`true` or `false`": re.compile("true|false"),
}

# Pydantic's error type -> the sentence, with the names of its context.
_RANGES = {
    "greater_than": "The value must be greater than {gt}.",
    "greater_than_equal": "The value must be at least {ge}.",
    "less_than_equal": "The value must be at most {le}.",
    "too_short": "The list must have at least {min_length} entries.",
    "too_long": "The list may have at most {max_length} entries.",
    "string_too_short": "The string is empty.",
}

# Field -> the remedy for a string of another form.
_NAME = "Use lower-case letters, digits, `-` and `_`, at most 63, a letter or digit first."
_FORMS = {
    "name": _NAME,
    "model": _NAME,
    "ref": "Name a commit SHA, branch, tag or full ref, without spaces or any of `~^:?*[`.",
    "azureml": "Write it as `name:version`.",
    "workspace": "Give the name alone, without `/`.",
}


def add_field_findings(error: ValidationError, model: type[BaseModel], findings: Findings) -> None:
    """Add one finding for each of pydantic's errors about an object of `model`.

    A place that has a finding already gets no other.
    """
    places = {each.pointer for each in findings.listed}
    for each in error.errors(include_url=False, include_context=True):
        if _consequence(each):
            continue
        if findings.full:
            findings.more += 1
        elif (made := _finding(each, model)).pointer not in places:
            findings.listed.append(made)


def _consequence(error: ErrorDetails) -> bool:
    """Pydantic finds a list too short when enough of its entries are wrong."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _finding(error: ErrorDetails, model: type[BaseModel]) -> Finding:
    kind, place, value = error["type"], error["loc"], error["input"]
    context = error.get("ctx", {})
    where = pointer(*_in_document(place))
    field = str(place[-1]) if place else ""
    if kind == "finding":
        return finding(Code(context["code"]), where, context["message"], context["remedy"])
    if kind == "extra_forbidden":
        return _unknown_field(model, place, where)
    if kind == "missing":
        return finding(
            Code.MISSING_FIELD, where, f"The field `{field}` is required.", f"Add `{field}`."
        )
    if kind == "union_tag_not_found":
        return finding(
            Code.MISSING_FIELD,
            f"{where}/kind",
            "The run does not say its kind.",
            'Add `"kind": "notebook"`, `"kind": "training"` or `"kind": "serving"`.',
        )
    if kind in ("union_tag_invalid", "literal_error"):
        if place == ("version",):
            return _bad_version(where)
        if kind == "union_tag_invalid":
            where, value = f"{where}/kind", value["kind"]
        return _unknown_value(
            where, value, str(context.get("expected_tags", context.get("expected")))
        )
    if kind in _TYPES and place[:-1] == ("runs",):
        remedy = 'Write an object such as `{"kind": "notebook", "path": "explore.ipynb"}`.'
        message = f"An entry of `runs` must be an object, not {json_type(value)}."
        return finding(Code.WRONG_TYPE, where, message, remedy)
    if kind in _TYPES:
        return _wrong_type(where, _TYPES[kind], value)
    if kind in _RANGES:
        return finding(
            Code.OUT_OF_RANGE,
            where,
            _RANGES[kind].format(**context),
            "Correct the value, or leave the field out for its default.",
        )
    if kind == "string_pattern_mismatch":
        form = _FORMS.get("workspace" if place[0] == "workspace" else field)
        return finding(
            Code.BAD_FORMAT,
            where,
            f"The string does not match `{context['pattern']}`.",
            form or "Correct the value.",
        )
    return finding(Code.WRONG_TYPE, where, f"{error['msg']}.", "Correct the value.")


def _bad_version(where: str) -> Finding:
    return finding(
        Code.BAD_VERSION,
        where,
        "This host knows version 1 of the contract only.",
        'Write `"version": 1`, a number without quotes.',
    )


def _unknown_value(where: str, value: object, expected: str) -> Finding:
    """`expected` is pydantic's enumeration, each word in single quotes."""
    known = re.findall("'([^']*)'", expected)
    if not isinstance(value, str):
        return finding(
            Code.WRONG_TYPE, where, f"The value cannot be {json_type(value)}.", choices("", known)
        )
    return finding(
        Code.UNKNOWN_VALUE, where, f"`{value[:80]}` is not a value here.", choices(value, known)
    )


def _wrong_type(where: str, wanted: str, value: object) -> Finding:
    remedy = f"Give {wanted}."
    if wanted in _UNQUOTED and isinstance(value, str) and _UNQUOTED[wanted].fullmatch(value):
        remedy = "Drop the quotes."
    elif wanted == "a string" and isinstance(value, int | float):
        remedy = "Put it in quotes."
    elif wanted == "an object":
        remedy = "Put its fields between `{` and `}`."
    elif wanted == "a list" and isinstance(value, str | dict):
        remedy = "Put it between `[` and `]`."
    return finding(
        Code.WRONG_TYPE, where, f"The value must be {wanted}, not {json_type(value)}.", remedy
    )


def _unknown_field(model: type[BaseModel], place: Place, where: str) -> Finding:
    field = str(place[-1])
    known = [name for owner in _models_at(model, place[:-1]) for name in owner.model_fields]
    remedy = choices(field, known)
    if place[0] == "runs":
        # Of the other kind of run, perhaps: `command` of a notebook.
        siblings = _models_at(model, place[:2])
        kinds = [f"`{_kind(each)}`" for each in siblings if field in each.model_fields]
        if kinds:
            remedy = f"It belongs to a run of kind {' or '.join(kinds)}."
    return finding(Code.UNKNOWN_FIELD, where, f"Unknown field `{field[:80]}`.", remedy)


def _in_document(place: Place) -> Place:
    """Pydantic's location less what is not in the document: the chosen member of a union, and
    the marker of a map's key."""
    if place[-1:] == ("[key]",):
        place = place[:-1]
    if place[:1] == ("runs",):
        return place[:2] + place[3:]
    if place[:2] == ("gate", "condition"):
        return place[:2] + place[3:]
    return place


def _models_at(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that pydantic tried at one of its locations."""
    models = [model]
    for part in place:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:
            models = [found for field in fields for found in _models_in(field.annotation)]
        else:  # an index, or the chosen member of a union
            models = [each for each in models if _kind(each) == part] or models
    return models


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _kind(model: type[BaseModel]) -> str | None:
    """The value of a model's `kind`, by which a union distinguishes its members."""
    field = model.model_fields.get("kind")
    return None if field is None else str(get_args(field.annotation)[0])
