"""What a caller sent: a request body, read into a table, an array, or named tensors.

    {"dataframe_split": {"columns": [..], "data": [[..], ..]}}    MLflow's scoring protocol
    {"dataframe_records": [{column: value, ..}, ..]}
    {"instances": [..]}                                           rows, or objects
    {"inputs": [..]} or {"inputs": {name: [..], ..}}
    {column: {row: value, ..}, ..}                                as pandas writes a table
    [{column: value, ..}, ..] or [[value, ..], ..]                rows

Whether the model takes it is the matter of `inputs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from mlgate.scorer.errors import BadRequest

SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"
MLFLOW_KEYS = (SPLIT, RECORDS, INSTANCES, INPUTS)
OF_MLFLOW, OF_COLUMNS, OF_ROWS = "mlflow", "columns", "rows"  # forms of requests, and of answers

_FORMS = (
    f"a JSON object with one of {', '.join(MLFLOW_KEYS)}; an object column -> {{row -> value}}; or "
    "a list of rows"
)
_BESIDE = {"params", "signature_name"}  # what MLflow lets callers send with its keys


@dataclass(frozen=True)
class Table:
    """Rows with named columns; each row has a value for each."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Array:
    """Nested lists, a row each."""

    values: Sequence[Any]


@dataclass(frozen=True)
class Tensors:
    """Nested lists by their names."""

    by_name: Mapping[str, Any]


Content = Union[Table, Array, Tensors]


@dataclass(frozen=True)
class Request:
    """`form` is that of the answer; `params` are MLflow's, for models that take some."""

    form: str
    content: Content
    params: Mapping[str, Any] | None = None


def read(body: bytes | str) -> Request:
    """From the text of a request. Raises BadRequest."""
    return of_json(json_of(body))


def json_of(body: bytes | str) -> Any:
    """The body as JSON; NaN and infinity, which JSON has not and Python writes, are null."""
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(f"the request is not JSON: {why}") from None


def of_json(said: Any) -> Request:
    """From the JSON of a request. Raises BadRequest."""
    if isinstance(said, list):
        return Request(OF_ROWS, _rows(said, "the list"))
    if not isinstance(said, dict):
        raise BadRequest(f"the request is {_what(said)}: send {_FORMS}")
    keys = [key for key in MLFLOW_KEYS if key in said]
    if len(keys) > 1:
        raise BadRequest(f"the request has several formats, {' and '.join(keys)}: send one of them")
    if keys:
        if others := sorted(said.keys() - {*keys} - _BESIDE):
            raise BadRequest(f"beside {keys[0]} the request has {', '.join(others)}: leave it out")
        return Request(OF_MLFLOW, _READERS[keys[0]](said[keys[0]]), _params(said.get("params")))
    if said and all(isinstance(value, dict) for value in said.values()):
        return Request(OF_COLUMNS, _of_columns(said))
    raise BadRequest(f"the request is in no known format: send {_FORMS}")


def rows_of(columns: Mapping[str, Any], what: str) -> Table:
    """A table from its columns, each a list. Raises BadRequest for lists of different lengths."""
    lengths = {}
    for name, values in columns.items():
        if not isinstance(values, list):
            raise BadRequest(f"{what}: `{name}` is {_what(values)}, and has to be a list of values")
        lengths[name] = len(values)
    if len({*lengths.values()}) > 1:
        told = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        raise BadRequest(f"{what}: the columns have different numbers of rows: {told}")
    return Table(tuple(columns), [list(row) for row in zip(*columns.values())])


def _split(said: Any) -> Table:
    if not isinstance(said, dict) or not isinstance(said.get("data"), list):
        raise BadRequest(f'{SPLIT} has to be {{"columns": [..], "data": [[..], ..]}}')
    columns, data = said.get("columns"), said["data"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise BadRequest(f"{SPLIT}: `columns` has to be a list of names")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise BadRequest(f"{SPLIT}: the column `{twice[0]}` is there twice")
    for number, row in enumerate(data, 1):
        if not isinstance(row, list):
            raise BadRequest(f"{SPLIT}: row {number} is {_what(row)}, and has to be a list")
        if len(row) != len(columns):
            raise BadRequest(
                f"{SPLIT}: row {number} has {len(row)} values for {len(columns)} columns"
            )
    return Table(tuple(columns), data)


def _records(said: Any, what: str = RECORDS) -> Table:
    if not isinstance(said, list):
        raise BadRequest(f"{what} has to be a list of rows, and is {_what(said)}")
    columns = tuple(said[0]) if said and isinstance(said[0], dict) else ()
    rows = []
    for number, row in enumerate(said, 1):
        if not isinstance(row, dict):
            raise BadRequest(f"{what}: row {number} is {_what(row)}, and row 1 is an object")
        if differing := sorted({*columns} ^ row.keys()):
            lacking = number if differing[0] in columns else 1
            raise BadRequest(
                f"{what}: row {lacking} has no `{differing[0]}`, which other rows have: send null "
                "for a value that is missing"
            )
        rows.append([row[name] for name in columns])
    return Table(columns, rows)


def _rows(said: Any, what: str) -> Content:
    if not isinstance(said, list):
        raise BadRequest(f"{what} has to be a list of rows, and is {_what(said)}")
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
            raise BadRequest(f"the column `{lacking}` has no row `{differing[0]}`")
    return Table(names, [[said[name][row] for name in names] for row in first])


def _check_even(values: Sequence[Any], what: str) -> None:
    """Raises BadRequest unless nested lists are an array: each row as the first one."""
    depths = [isinstance(value, list) for value in values]
    if not any(depths):
        for number, value in enumerate(values, 1):
            if isinstance(value, dict):
                raise BadRequest(f"{what}: row {number} is an object, and row 1 is not")
        return
    for number, value in enumerate(values, 1):
        if not isinstance(value, list):
            raise BadRequest(f"{what}: row {number} is {_what(value)}, and others are lists")
        if len(value) != len(values[0]):
            raise BadRequest(
                f"{what}: row {number} has {len(value)} values, and row 1 has {len(values[0])}"
            )
        _check_even(value, f"{what}: row {number}")


def _params(said: Any) -> Mapping[str, Any] | None:
    if said is not None and not isinstance(said, dict):
        raise BadRequest(f"params has to be an object, and is {_what(said)}")
    return said or None


def _what(value: Any) -> str:
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "text"}
    kinds.update({list: "a list", dict: "an object", type(None): "null"})
    return kinds[type(value)]


_READERS: Mapping[str, Callable[[Any], Content]] = {
    SPLIT: _split,
    RECORDS: _records,
    INSTANCES: lambda said: _rows(said, INSTANCES),
    INPUTS: _inputs,
}
