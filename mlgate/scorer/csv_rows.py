"""Reads a table from CSV in MLflow's scoring protocol: what pandas writes, with a header row.

CSV has no types, so the model's signature decides the type of each column. Without one, a column of
numbers becomes numbers, a column of true and false becomes booleans, and any other becomes text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from mlgate.scorer.errors import BadRequest
from mlgate.scorer.requests import Table, no_twice
from mlgate.scorer.signatures import Signature
from mlgate.scorer.wording import count_of_values, short

# What pandas reads as missing, in any column.
_MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
_TRUTHS = {"true": True, "false": False}
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,300}\s*")
_FRACTION = re.compile(
    r"\s*[+-]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,4})?\s*"
)
_ENDLESS = re.compile(r"\s*[+-]?inf(?:inity)?\s*", re.IGNORECASE)  # null, as in JSON
_OF_TEXT = ("string", "datetime", "binary")

csv.field_size_limit(2**31 - 1)  # the request as a whole has a limit


def read(text: str, signature: Signature | None) -> Table:
    """The rows, with None for missing values. Raises BadRequest."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise BadRequest(f"the request is not CSV: {error}") from None
    if not lines:
        raise BadRequest("the CSV is empty: its first row must have the names of the columns")
    names, *rows = lines
    if "" in names:
        raise BadRequest(
            f"column {names.index('') + 1} of the CSV has no name: write it without an index "
            "(pandas: `index=False`)"
        )
    no_twice(names, "the CSV: the column")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise BadRequest(
                f"the CSV: row {number} has {count_of_values(len(row))} for {len(names)} columns"
            )
    types = {each.name: each.type for each in signature.columns} if signature else {}
    columns = [
        _typed(name, types[name] or "", cells) if types.get(name) else _inferred(cells)
        for name, cells in zip(names, zip(*rows) if rows else repeat(()))
    ]
    return Table(tuple(names), [list(row) for row in zip(*columns)])


def _typed(name: str, kind: str, cells: Sequence[str]) -> list[Any]:
    """Values of that type. Other cells stay text, which `inputs` refuses, with row and column."""
    if kind in _OF_TEXT:
        return [None if cell in _MISSING else cell for cell in cells]
    one = _truth if kind == "boolean" else _number
    return [_one(name, row, cell, one) for row, cell in enumerate(cells, 1)]


def _one(name: str, row: int, cell: str, read_cell: Callable[[str], Any]) -> Any:
    if cell in _MISSING:
        return None
    try:
        return read_cell(cell)
    except ValueError:
        return cell
    except OverflowError:
        raise BadRequest(f"row {row}, column `{short(name)}`: {short(cell)} is too large") from None


def _inferred(cells: Sequence[str]) -> list[Any]:
    there = [cell for cell in cells if cell not in _MISSING]
    for read_cell in (_number, _truth):
        try:
            read = iter([read_cell(cell) for cell in there])
        except (ValueError, OverflowError):
            continue
        return [None if cell in _MISSING else next(read) for cell in cells]
    return [None if cell in _MISSING else cell for cell in cells]


def _number(cell: str) -> float | None:
    """Raises ValueError, and OverflowError for a number that is too large for a double."""
    if _WHOLE.fullmatch(cell):
        return int(cell)
    if _FRACTION.fullmatch(cell):
        number = float(cell)
        if number in (float("inf"), -float("inf")):
            raise OverflowError
        return number
    if _ENDLESS.fullmatch(cell):
        return None
    raise ValueError


def _truth(cell: str) -> bool:
    """Raises ValueError."""
    if cell.lower() not in _TRUTHS:
        raise ValueError
    return _TRUTHS[cell.lower()]
