"""Brings a request into the form that the model accepts: its order of columns, and its types."""

from __future__ import annotations

import base64
import binascii
import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlgate.scorer.errors import BadRequest
from mlgate.scorer.requests import Array, Content, Table, Tensors, rows_of
from mlgate.scorer.signatures import Column, Signature, Tensor
from mlgate.scorer.wording import count_of_values, listed, short

_SHOWN = 10  # problems in a sentence
_NEAR = 1_000  # names that are compared with a wrong one
# How messages of float(), int() and numpy begin; the wrong text follows.
_NO_NUMBER = ("could not convert string to float: ", "invalid literal for int() with base 10: ")
# That of scikit-learn: `_assert_all_finite` of sklearn/utils/validation.py.
_NOT_FINITE = re.compile(r"Input (\w+ )?contains (NaN|infinity)")
MOST_COLUMNS = 10_000  # for a model without a signature: pandas needs a second for so many


def arranged(content: Content, signature: Signature | None) -> Content:
    """The content in the form and order of the signature; unchanged without a signature.

    Raises BadRequest, which names unknown and missing columns, or the row and column of a value of
    the wrong type.
    """
    if signature is None:
        if isinstance(content, Table) and len(content.columns) > MOST_COLUMNS:
            raise BadRequest(
                f"the request has {len(content.columns)} columns, but a model without a signature "
                f"accepts at most {MOST_COLUMNS}: send lists without names (`instances`)"
            )
        return content
    if signature.columns:
        return _of_columns(content, signature.columns)
    if signature.width is not None:
        return _of_width(content, signature.width)
    return _of_tensors(content, signature.tensors)


def not_a_number(error: ValueError, content: Content) -> str | None:
    """A message for the caller if a model without types needs a number where the request has none.

    That is the caller's fault only if the text, which Python and numpy name, is in the request, or
    a value is missing or not finite there; None otherwise.
    """
    message = str(error)
    if type(error) is not ValueError:
        return None
    if message.startswith(_NO_NUMBER):

        def is_it(value: Any) -> bool:
            ends = (f": {value!r}", f": np.str_({value!r})")
            return isinstance(value, str) and message.endswith(ends)

    elif found := _NOT_FINITE.match(message):
        is_it = _is_missing if found[2] == "NaN" else _is_infinite
    else:
        return None
    rows = content.rows if isinstance(content, Table) else ()
    if isinstance(content, Array):
        rows = [row if isinstance(row, (list, tuple)) else [row] for row in content.values]
    places = [
        (number, index, value)
        for number, row in enumerate(rows, 1)
        for index, value in enumerate(row)
        if is_it(value)
    ]
    if not places:
        return None
    number, index, value = places[0]
    where = f"row {number}"
    if isinstance(content, Table) and len({index for _, index, _ in places}) == 1:
        where += f", column `{short(content.columns[index])}`"
    if _is_missing(value):
        return f"{where}: the value is missing, but the model needs one there"
    return f"{where}: {short(repr(value))} is not a number, but the model needs one there"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _of_columns(content: Content, columns: Sequence[Column]) -> Table:
    if isinstance(content, Tensors):
        content = rows_of(content.by_name, "inputs")
    names = [column.name for column in columns]
    if isinstance(content, Array):  # without names, so in the model's order
        rows = _as_rows(content.values, len(names), f": {listed(names)}")
        content = Table(tuple(names), rows)
    optional = {column.name for column in columns if not column.required}
    _check_names(content.columns, names, optional)
    places = {name: index for index, name in enumerate(content.columns)}
    there = [column for column in columns if column.name in places]
    at = [places[column.name] for column in there]
    rows = [
        [_typed(row[index], column, number) for index, column in zip(at, there)]
        for number, row in enumerate(content.rows, 1)
    ]
    return Table(tuple(column.name for column in there), rows)


def _of_width(content: Content, width: int) -> Array:
    """Rows for a model whose columns have no names; the caller's names are ignored."""
    if isinstance(content, Tensors):
        content = rows_of(content.by_name, "inputs")
    values = content.rows if isinstance(content, Table) else content.values
    return Array(_as_rows(values, width))


def _of_tensors(content: Content, tensors: Sequence[Tensor]) -> Content:
    if len(tensors) == 1:
        [tensor] = tensors
        values: Any
        if isinstance(content, Tensors):
            _check_names([*content.by_name], [tensor.name or ""], set(), "input")
            values = content.by_name[tensor.name or ""]
        else:
            values = content.rows if isinstance(content, Table) else content.values
        _check_shape(values, tensor)
        return Array(values)
    if isinstance(content, Table):
        by_column = zip(*content.rows) if content.rows else ([] for _ in content.columns)
        content = Tensors(dict(zip(content.columns, map(list, by_column))))
    names = [tensor.name or "" for tensor in tensors]
    if isinstance(content, Array):
        raise BadRequest(f"the model needs several inputs, by name: {listed(names)}")
    _check_names([*content.by_name], names, set(), "input")
    for tensor in tensors:
        _check_shape(content.by_name[tensor.name or ""], tensor)
    return content


def _check_names(
    given: Collection[str], known: Sequence[str], optional: Collection[str], noun: str = "column"
) -> None:
    of_caller, of_model = {*given}, {*known}
    missing = [name for name in known if name not in of_caller and name not in optional]
    unknown = [name for name in given if name not in of_model]
    if not missing and not unknown:
        return
    problems = []
    for name in unknown[:_SHOWN]:
        near = difflib.get_close_matches(short(name), (missing or known)[:_NEAR], 1, 0.5)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        problems.append(f"unknown {noun} `{short(name)}`{hint}")
    problems += [f"missing {noun} `{name}`" for name in missing[: _SHOWN - len(problems)]]
    left = len(missing) + len(unknown) - len(problems)
    more = f"; and {left} more" if left else ""
    raise BadRequest(f"{'; '.join(problems)}{more}. The model accepts {listed(known)}")


def _as_rows(values: Sequence[Any], width: int, which: str = "") -> list[list[Any]]:
    """Rows of `width` values; a single value is a row of one."""
    rows = [value if isinstance(value, (list, tuple)) else [value] for value in values]
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise BadRequest(
                f"row {number} has {count_of_values(len(row))}, but the model needs {width}{which}"
            )
    return [list(row) for row in rows]


def _check_shape(values: Any, tensor: Tensor) -> None:
    shape: list[int] = []
    inner = values
    while isinstance(inner, (list, tuple)):
        shape.append(len(inner))
        if not inner:
            return  # the shape of what it could contain is unknown
        inner = inner[0]
    fits = len(shape) == len(tensor.shape) and all(
        wanted in (None, size) for size, wanted in zip(shape, tensor.shape)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in tensor.shape)
        name = f" `{tensor.name}`" if tensor.name else ""
        sent = ", ".join(map(str, shape)) or "none"
        raise BadRequest(f"the input{name} has the shape ({sent}), but the model needs ({wanted})")


def _typed(value: Any, column: Column, row: int) -> Any:
    if column.type is None:
        return value
    if value is None and column.type in ("double", "float"):
        return math.nan
    if value is None and column.type in ("string", "datetime"):
        return None
    try:
        return _TYPES[column.type](value)
    except (TypeError, ValueError, OverflowError):
        shown = "null" if value is None else short(repr(value))
        raise BadRequest(
            f"row {row}, column `{column.name}`: {shown} is not a value of type {column.type}"
        ) from None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return float(value)


def _whole(bits: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if _number(value) != int(value) or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError
        return int(value)

    return whole


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: Any) -> str:
    """The text unchanged, if it is a date or time in ISO 8601."""
    text = _text(value)
    datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    return text


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error:
        raise ValueError from None


_TYPES: Mapping[str, Callable[[Any], Any]] = {
    "double": _number,
    "float": _number,
    "long": _whole(64),
    "integer": _whole(32),
    "string": _text,
    "boolean": _truth,
    "datetime": _time,
    "binary": _bytes,
}
