"""Reads a request body into a table, an array, or named tensors.

    {"dataframe_split": {"columns": [..], "data": [[..], ..]}}    MLflow's scoring protocol
    {"dataframe_records": [{column: value, ..}, ..]}
    {"instances": [..]}                                           rows, or objects
    {"inputs": [..]} or {"inputs": {name: [..], ..}}
    {column: {row: value, ..}, ..}                                as pandas writes a table
    [{column: value, ..}, ..] or [[value, ..], ..]                rows

`inputs` checks whether the model accepts it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from mlgate.scorer.errors import BadRequest
from mlgate.scorer.wording import count_of_values, listed, short

SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"
MLFLOW_KEYS = (SPLIT, RECORDS, INSTANCES, INPUTS)
OF_MLFLOW, OF_COLUMNS, OF_ROWS = "mlflow", "columns", "rows"  # forms of requests, and of answers

_FORMS = (
    f"a JSON object with one of {', '.join(MLFLOW_KEYS)}; an object column -> {{row -> value}}; or "
    "a list of rows"
)
_BESIDE = {"params", "signature_name"}  # what MLflow allows beside its keys
_BESIDE_DATA = {"columns", "data", "index"}
_DEPTH = 64  # of nested lists and objects: numpy supports no more dimensions
# Only a text with a number like these can contain one that is too large for a double.
_LARGE = re.compile(r"(?<![0-9])[0-9]{200,}|[eE]\+?[0-9]{3,}")


@dataclass(frozen=True)
class Table:
    """Rows with named columns; each row has a value for each column."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Array:
    """Nested lists; each item is a row."""

    values: Sequence[Any]


@dataclass(frozen=True)
class Tensors:
    """Nested lists by name."""

    by_name: Mapping[str, Any]


Content = Union[Table, Array, Tensors]


@dataclass(frozen=True)
class Request:
    """`form` decides the form of the answer; `params` are MLflow's, for models that accept them."""

    form: str
    content: Content
    params: Mapping[str, Any] | None = None


def read(body: bytes | str) -> Request:
    """Read the text of a request. Raises BadRequest."""
    return of_json(json_of(body))


def json_of(body: bytes | str) -> Any:
    """The body as JSON; NaN and infinity, which Python writes but JSON does not have, become null.

    Raises BadRequest, also for some valid JSON: a duplicate key, a number that is too large for a
    double, and lists that are nested too deeply.
    """
    text = text_of(body) if isinstance(body, bytes) else body
    # Calling a Python function for each number would double the time.
    numbers: Any = _NUMBERS if _LARGE.search(text) else {}
    try:
        said = json.loads(text, parse_constant=lambda _: None, object_pairs_hook=_object, **numbers)
    except ValueError as error:
        raise BadRequest(f"the request is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    _check_depth(said)
    return said


def text_of(body: bytes) -> str:
    """The body as text, without a byte order mark. Raises BadRequest."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"the request is not UTF-8: {error.reason} at byte {error.start + 1}"
        ) from None


def of_json(said: Any) -> Request:
    """Read the JSON of a request. Raises BadRequest."""
    if isinstance(said, list):
        return Request(OF_ROWS, _rows(said, "the list"))
    if not isinstance(said, dict):
        raise BadRequest(f"the request is {_what(said)}: send {_FORMS}")
    keys = [key for key in MLFLOW_KEYS if key in said]
    if len(keys) > 1:
        raise BadRequest(f"the request has several formats, {' and '.join(keys)}: send one of them")
    if keys:
        if others := sorted(said.keys() - {*keys} - _BESIDE):
            raise BadRequest(f"the request has more than {keys[0]}: remove {listed(others)}")
        return Request(OF_MLFLOW, _READERS[keys[0]](said[keys[0]]), _params(said.get("params")))
    if said and all(isinstance(value, dict) for value in said.values()):
        return Request(OF_COLUMNS, _of_columns(said))
    raise BadRequest(f"the request has no known format: send {_FORMS}")


def rows_of(columns: Mapping[str, Any], what: str) -> Table:
    """A table from its columns, each a list. Raises BadRequest for lists of different lengths."""
    lengths = {}
    for name, values in columns.items():
        if not isinstance(values, list):
            raise BadRequest(
                f"{what}: `{short(name)}` is {_what(values)}, but must be a list of values"
            )
        lengths[name] = len(values)
    if len({*lengths.values()}) > 1:
        counts = listed([f"`{short(name)}` has {length}" for name, length in lengths.items()])
        raise BadRequest(f"{what}: the columns have different numbers of rows: {counts}")
    return Table(tuple(columns), [list(row) for row in zip(*columns.values())])


def no_twice(names: Sequence[str], what: str) -> None:
    """Raise BadRequest for the first duplicate name."""
    if len({*names}) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise BadRequest(f"{what} `{short(twice)}` appears twice")


def _split(said: Any) -> Table:
    if not isinstance(said, dict) or not isinstance(said.get("data"), list):
        raise BadRequest(f'{SPLIT} must be {{"columns": [..], "data": [[..], ..]}}')
    if others := sorted(said.keys() - _BESIDE_DATA):
        raise BadRequest(f"{SPLIT} has unknown keys: remove {listed(others)}")
    columns, data = said.get("columns"), said["data"]
    # pandas numbers columns that have no names.
    if not isinstance(columns, list) or not all(type(name) in (str, int) for name in columns):
        raise BadRequest(f"{SPLIT}: `columns` must be a list of names")
    index = said.get("index")  # checked, but not passed to the model
    if index is not None and not (isinstance(index, list) and len(index) == len(data)):
        raise BadRequest(f"{SPLIT}: `index` must be a list with a value for each row")
    columns = [str(name) for name in columns]
    no_twice(columns, f"{SPLIT}: the column")
    for number, row in enumerate(data, 1):
        if not isinstance(row, list):
            raise BadRequest(f"{SPLIT}: row {number} is {_what(row)}, but must be a list")
        if len(row) != len(columns):
            raise BadRequest(
                f"{SPLIT}: row {number} has {count_of_values(len(row))} for {len(columns)} columns"
            )
    return Table(tuple(columns), data)


def _records(said: Any, what: str = RECORDS) -> Table:
    if not isinstance(said, list):
        raise BadRequest(f"{what} must be a list of rows, but is {_what(said)}")
    columns = tuple(said[0]) if said and isinstance(said[0], dict) else ()
    rows = []
    for number, row in enumerate(said, 1):
        if not isinstance(row, dict):
            raise BadRequest(f"{what}: row {number} is {_what(row)}, but row 1 is an object")
        if differing := sorted({*columns} ^ row.keys()):
            lacking = number if differing[0] in columns else 1
            raise BadRequest(
                f"{what}: row {lacking} has no `{short(differing[0])}`, which other rows have: "
                "send null for a value that is missing"
            )
        rows.append([row[name] for name in columns])
    return Table(columns, rows)


def _rows(said: Any, what: str) -> Content:
    if not isinstance(said, list):
        raise BadRequest(f"{what} must be a list of rows, but is {_what(said)}")
    if said and isinstance(said[0], dict):
        return _records(said, what)
    _check_even(said, what)
    return Array(said)


def _inputs(said: Any) -> Content:
    if isinstance(said, dict):
        return Tensors(said)
    return _rows(said, INPUTS)


def _of_columns(said: Mapping[str, Mapping[str, Any]]) -> Table:
    names = tuple(said)
    first = said[names[0]]
    for name, values in said.items():
        if differing := sorted({*first} ^ values.keys()):
            lacking = name if differing[0] in first else names[0]
            raise BadRequest(f"the column `{short(lacking)}` has no row `{short(differing[0])}`")
    return Table(names, [[said[name][row] for name in names] for row in first])


def _check_even(values: Sequence[Any], what: str, each: str = "row") -> None:
    """Raise BadRequest unless the nested lists form an array: each row is like the first.

    `each` is the word for one of `values`.
    """
    depths = [isinstance(value, list) for value in values]
    if not any(depths):
        for number, value in enumerate(values, 1):
            if isinstance(value, dict):
                else_ = "but row 1 is not" if each == "row" else "not a value"
                raise BadRequest(f"{what}: {each} {number} is an object, {else_}")
        return
    for number, value in enumerate(values, 1):
        if not isinstance(value, list):
            raise BadRequest(f"{what}: {each} {number} is {_what(value)}, but others are lists")
        if len(value) != len(values[0]):
            raise BadRequest(
                f"{what}: row {number} has {count_of_values(len(value))}, "
                f"but row 1 has {len(values[0])}"
            )
        _check_even(value, f"{what}: row {number}", "value")


def _check_depth(said: Any) -> None:
    level = [said]
    for _ in range(_DEPTH + 1):
        lists = [each for each in level if isinstance(each, (list, dict))]
        if not lists:
            return
        values = (each.values() if isinstance(each, dict) else each for each in lists)
        level = [inner for each in values for inner in each if isinstance(inner, (list, dict))]
    raise BadRequest(_TOO_DEEP)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys: JSON's reader would silently drop a value."""
    made = dict(pairs)
    if len(made) < len(pairs):
        no_twice([name for name, _ in pairs], "the request is ambiguous: the key")
    return made


def _whole(text: str) -> int:
    _fraction(text)  # refuses long numbers in linear time; int() takes quadratic time
    return int(text)


def _fraction(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequest(f"the number {short(text)} is too large")
    return number


def _params(said: Any) -> Mapping[str, Any] | None:
    if said is not None and not isinstance(said, dict):
        raise BadRequest(f"params must be an object, but is {_what(said)}")
    return said or None


def _what(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "text"}
    kinds.update({list: "a list", dict: "an object", type(None): "null"})
    return kinds[type(value)]


_TOO_DEEP = f"the request is nested too deeply: the limit is {_DEPTH} levels of lists and objects"
_NUMBERS = {"parse_int": _whole, "parse_float": _fraction}
_READERS: Mapping[str, Callable[[Any], Content]] = {
    SPLIT: _split,
    RECORDS: _records,
    INSTANCES: lambda said: _rows(said, INSTANCES),
    INPUTS: _inputs,
}
