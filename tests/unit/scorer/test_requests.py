"""Request bodies, from their text to what the model takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgate.scorer.errors import BadRequest
from mlgate.scorer.requests import Array, Content, Table, Tensors, read

TABLE = Table(("a", "b"), [[1, "x"], [2, None]])


@pytest.mark.parametrize(
    ("body", "form", "content"),
    [
        (
            {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}},
            "mlflow",
            TABLE,
        ),
        ({"dataframe_records": [{"a": 1, "b": "x"}, {"b": None, "a": 2}]}, "mlflow", TABLE),
        ({"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": None}]}, "mlflow", TABLE),
        ({"instances": [[1, 2], [3, 4]]}, "mlflow", Array([[1, 2], [3, 4]])),
        ({"inputs": ["text", "more"]}, "mlflow", Array(["text", "more"])),
        ({"inputs": {"a": [1], "b": [[2, 3]]}}, "mlflow", Tensors({"a": [1], "b": [[2, 3]]})),
        ({"inputs": [[[1], [2]]]}, "mlflow", Array([[[1], [2]]])),
        ({"a": {"0": 1, "1": 2}, "b": {"1": None, "0": "x"}}, "columns", TABLE),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": None}], "rows", TABLE),
        ([[1, "x"], [2, None]], "rows", Array([[1, "x"], [2, None]])),
        ([], "rows", Array([])),
        (
            {"dataframe_split": {"columns": [0, 1], "data": [[5, 6]]}},
            "mlflow",
            Table(("0", "1"), [[5, 6]]),
        ),
    ],
)
def test_each_form_is_read(body: Any, form: str, content: Content) -> None:
    request = read(json.dumps(body))

    assert (request.form, request.content) == (form, content)


def test_params_come_along_with_mlflows_keys() -> None:
    request = read('{"inputs": [1], "params": {"temperature": 0.5}}')

    assert request.params == {"temperature": 0.5}
    assert read('{"inputs": [1]}').params is None


def test_what_json_has_not_is_null() -> None:
    assert read("[[NaN, -Infinity, 1]]").content == Array([[None, None, 1]])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "the request is not JSON"),
        ('{"a": ', "the request is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 65 + "]" * 65, "nested too deeply"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested too deeply"),
        ("1" * 5_000, f"the number {'1' * 59}… is too large"),
        ("[[1e999]]", "the number 1e999 is too large"),
        (f"[[-{'9' * 250}e99]]", "is too large"),
        (b"\xff", "the request is not UTF-8: invalid start byte at byte 1"),
        ("[[1]]".encode("utf-16"), "the request is not UTF-8"),
        ('{"inputs": [1], "inputs": [2]}', "ambiguous: the key `inputs` appears twice"),
        ('[{"a": 1, "b": 2, "a": 1}]', "the key `a` appears twice"),
        ('"text"', "the request is text: send"),
        ("null", "the request is null: send"),
        ("{}", "no known format: send"),
        ('{"a": [1, 2]}', "no known format: send"),
        ('{"inputs": [1], "instances": [1]}', "several formats, instances and inputs"),
        ('{"inputs": [1], "data": 1}', "the request has more than inputs: remove data"),
        ('{"inputs": [1], "params": 3}', "params must be an object, but is a number"),
        ('{"inputs": 3}', "inputs must be a list of rows, but is a number"),
        ('{"dataframe_records": {}}', "dataframe_records must be a list"),
        ('{"dataframe_split": {"columns": ["a"]}}', "dataframe_split must be"),
        ('{"dataframe_split": {"columns": [null], "data": []}}', "a list of names"),
        ('{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "`a` appears twice"),
        (
            '{"dataframe_split": {"columns": [], "data": [], "more": 1}}',
            "has unknown keys: remove more",
        ),
        (
            '{"dataframe_split": {"columns": ["a"], "data": [[1]], "index": [0, 1]}}',
            "`index` must be a list with a value for each row",
        ),
        (
            '{"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}',
            "row 2 has 2 values for 1 columns",
        ),
        ('{"dataframe_split": {"columns": ["a"], "data": [1]}}', "row 1 is a number"),
        ('[{"a": 1}, {"a": 1, "b": 2}]', "row 1 has no `b`"),
        ('[{"a": 1, "b": 2}, {"a": 1}]', "row 2 has no `b`, which other rows have: send null"),
        ('[{"a": 1}, [1]]', "row 2 is a list, but row 1 is an object"),
        ('[1, {"a": 1}]', "row 2 is an object, but row 1 is not"),
        ("[[1, 2], [1]]", "row 2 has 1 value, but row 1 has 2"),
        ('[[{"a": 1}, 2]]', "row 1: value 1 is an object, not a value"),
        ("[[[1], 2]]", "row 1: value 2 is a number, but others are lists"),
        ("[[1], 2]", "row 2 is a number, but others are lists"),
        ("[[[1, 2], [1]]]", "row 1: row 2 has 1 value"),
        ('{"a": {"0": 1}, "b": {"1": 1}}', "the column `b` has no row `0`"),
        ('{"a": {"0": 1}, "b": {"0": 1, "1": 1}}', "the column `a` has no row `1`"),
    ],
)
def test_what_is_wrong_is_told(body: str | bytes, said: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(body)

    assert said in str(raised.value)
