"""CSV as MLflow's scoring protocol has it."""

from __future__ import annotations

from typing import Any

import pytest

from mlgate.scorer.csv_rows import read
from mlgate.scorer.errors import BadRequest
from mlgate.scorer.signatures import Column, Signature


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a,b\n1,x\n2,y\n", ("a", "b"), [[1, "x"], [2, "y"]]),
        ("a,b\r\n1,2.5\r\n,-1e3", ("a", "b"), [[1, 2.5], [None, -1000.0]]),
        ("a\n1\nx\n", ("a",), [["1"], ["x"]]),
        ("a\ntrue\nFalse\n", ("a",), [[True], [False]]),
        ("a,b\nNA,1\nnull,NaN\n", ("a", "b"), [[None, 1], [None, None]]),
        ("a,b\ninf,1\n2,-Infinity\n", ("a", "b"), [[None, 1], [2, None]]),
        ('a,"b ""c"""\n" 1 ","x,\ny"\n', ("a", 'b "c"'), [[1, "x,\ny"]]),
        ("a,b\n\n1,2\n\n", ("a", "b"), [[1, 2]]),
        ("a,b\n", ("a", "b"), []),
        ("a\n1_000\n", ("a",), [["1_000"]]),
        ("a\n.5\n5.\n+5\n", ("a",), [[0.5], [5.0], [5]]),
        ("a\n" + "x" * 200_000, ("a",), [["x" * 200_000]]),
        (f"a\n{'9' * 400}\n", ("a",), [["9" * 400]]),
    ],
)
def test_a_table_is_read(text: str, columns: tuple[str, ...], rows: list[Any]) -> None:
    table = read(text, None)

    assert (table.columns, table.rows) == (columns, rows)


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("string", "00501", "00501"),
        ("string", "true", "true"),
        ("string", "", None),
        ("datetime", "2026-11-29", "2026-11-29"),
        ("binary", "1234", "1234"),
        ("boolean", "True", True),
        ("boolean", "1", "1"),
        ("long", "7", 7),
        ("long", "x", "x"),
        ("double", "7", 7),
        ("double", " 1.5", 1.5),
        ("double", "nan", None),
        (None, "7", 7),
    ],
)
def test_a_model_that_tells_types_gets_them(kind: str | None, cell: str, expected: Any) -> None:
    """What is of another type stays text, which is refused later, with its row and column."""
    table = read(f'"a","b"\n"{cell}",1\n', Signature("s", columns=(Column("a", kind),)))

    assert table.rows == [[expected, 1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the CSV is empty"),
        ("\n\n", "the CSV is empty"),
        (",a\n0,1\n", "column 1 of the CSV has no name: write it without an index"),
        ("a,b,a\n1,2,3\n", "the column `a` appears twice"),
        ("a,b\n1,2\n1\n", "row 2 has 1 value for 2 columns"),
        ("a,b\n1,2,3\n", "row 1 has 3 values for 2 columns"),
        ('a\n"open', "the request is not CSV"),
        ('a\n"x"y\n', "the request is not CSV"),
    ],
)
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(text, None)

    assert said in str(raised.value)


def test_a_number_that_no_double_holds_is_named() -> None:
    with pytest.raises(BadRequest, match="row 2, column `a`: 1e999 is too large"):
        read("a\n1\n1e999\n", Signature("s", columns=(Column("a", "double"),)))
