"""Columns in the model's order, and values of its types."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlgate.scorer.errors import BadRequest
from mlgate.scorer.inputs import arranged
from mlgate.scorer.requests import Array, Content, Table, Tensors
from mlgate.scorer.signatures import Column, Signature, Tensor

COLUMNS = Signature("s", columns=(Column("age"), Column("height"), Column("note", "string", False)))
WIDTH = Signature("s", width=2)
TENSOR = Signature("s", tensors=(Tensor("x", "float32", (None, 2)),))
TENSORS = Signature("s", tensors=(Tensor("x", "float32", (None, 2)), Tensor("y", "int64", (None,))))


@pytest.mark.parametrize(
    ("content", "signature", "expected"),
    [
        (
            Table(("height", "age"), [[1, 2], [3, 4]]),
            COLUMNS,
            Table(("age", "height"), [[2, 1], [4, 3]]),
        ),
        (
            Tensors({"note": ["n"], "height": [1], "age": [2]}),
            COLUMNS,
            Table(("age", "height", "note"), [[2, 1, "n"]]),
        ),
        (Array([[1, 2, "n"]]), COLUMNS, Table(("age", "height", "note"), [[1, 2, "n"]])),
        (Table(("b", "a"), [[1, 2]]), WIDTH, Array([[1, 2]])),
        (Array([[1, 2]]), WIDTH, Array([[1, 2]])),
        (Array([1, 2]), Signature("s", width=1), Array([[1], [2]])),
        (Array([[1, 2]]), TENSOR, Array([[1, 2]])),
        (Table(("b", "a"), [[1, 2]]), TENSOR, Array([[1, 2]])),
        (Tensors({"x": [[1, 2]]}), TENSOR, Array([[1, 2]])),
        (Tensors({"y": [1], "x": [[1, 2]]}), TENSORS, Tensors({"y": [1], "x": [[1, 2]]})),
        (Table(("x", "y"), [[[1, 2], 3]]), TENSORS, Tensors({"x": [[1, 2]], "y": [3]})),
        (Table(("b", "a"), [[1, 2]]), None, Table(("b", "a"), [[1, 2]])),
    ],
)
def test_what_is_sent_becomes_what_the_model_takes(
    content: Content, signature: Signature | None, expected: Content
) -> None:
    assert arranged(content, signature) == expected


@pytest.mark.parametrize(
    ("content", "signature", "said"),
    [
        (
            Table(("age", "hight"), [[1, 2]]),
            COLUMNS,
            "unknown column `hight` (did you mean `height`?); missing column `height`. "
            "The model accepts age, height, note",
        ),
        (Table(("age", "height", "zzz"), [[1, 2, 3]]), COLUMNS, "unknown column `zzz`. The"),
        (Array([[1, 2]]), COLUMNS, "row 1 has 2 values, but the model needs 3: age, height, note"),
        (Tensors({"age": [1], "height": [1, 2]}), COLUMNS, "`age` has 1, `height` has 2"),
        (Tensors({"age": 1}), COLUMNS, "`age` is a number, but must be a list"),
        (Array([[1, 2], [3]]), WIDTH, "row 2 has 1 value, but the model needs 2"),
        (Array([[1, 2, 3]]), TENSOR, "has the shape (1, 3), but the model needs (any, 2)"),
        (Array([1]), TENSOR, "has the shape (1), but"),
        (Array([[1, 2]]), TENSORS, "the model needs several inputs, by name: x, y"),
        (Tensors({"x": [[1, 2]], "z": [1]}), TENSORS, "unknown input `z`"),
        (Tensors({"y": [[1, 2]]}), TENSOR, "unknown input `y`"),
    ],
)
def test_what_does_not_fit_is_named(content: Content, signature: Signature, said: str) -> None:
    with pytest.raises(BadRequest) as raised:
        arranged(content, signature)

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("double", 1, 1.0),
        ("long", 2.0, 2),
        ("long", 2**62, 2**62),
        ("integer", -5, -5),
        ("string", None, None),
        ("boolean", True, True),
        ("datetime", "2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z"),
        ("datetime", "2026-11-29", "2026-11-29"),
        ("binary", "aGk=", b"hi"),
        (None, {"any": "thing"}, {"any": "thing"}),
    ],
)
def test_values_of_a_type_are_taken(kind: str | None, value: Any, expected: Any) -> None:
    signature = Signature("s", columns=(Column("c", kind),))
    found = arranged(Table(("c",), [[value]]), signature)

    assert found == Table(("c",), [[expected]])


def test_a_missing_number_is_not_a_number() -> None:
    found = arranged(Array([[None]]), Signature("s", columns=(Column("c", "double"),)))

    assert isinstance(found, Table)
    assert math.isnan(found.rows[0][0])


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("double", "1", "'1'"),
        ("double", True, "True"),
        ("long", 2.5, "2.5"),
        ("long", None, "null"),
        ("long", 2**63, "9223372036854775808"),
        ("integer", 2**31, "2147483648"),
        ("string", 3, "3"),
        ("boolean", 1, "1"),
        ("datetime", "tomorrow", "'tomorrow'"),
        ("binary", "&", "'&'"),
        ("string", ["x" * 100], "['" + "x" * 57 + "…"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_row_and_column(
    kind: str, value: Any, shown: str
) -> None:
    good = {"string": "a", "boolean": True, "datetime": "2026-01-01", "binary": ""}.get(kind, 0)
    signature = Signature("s", columns=(Column("c", kind),))
    with pytest.raises(BadRequest) as raised:
        arranged(Table(("c",), [[good], [value]]), signature)

    assert str(raised.value) == f"row 2, column `c`: {shown} is not a value of type {kind}"
