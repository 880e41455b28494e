"""The example of a request, as runs keep it and as MLflow writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgate.scorer.errors import BadRequest
from mlgate.scorer.examples import checked, named_by_mlflow

MLMODEL = """\
artifact_path: model
flavors:
  python_function:
    artifact_path: no.json
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[]'
"""
OLDER = MLMODEL.replace("  serving_input_path: serving_input_example.json\n", "")
BOTH = ("input_example.json", "serving_input_example.json", "no.json", "model")


@pytest.mark.parametrize(
    ("mlmodel", "files", "name"),
    [
        (MLMODEL, BOTH, "serving_input_example.json"),
        (MLMODEL, ("input_example.json",), "input_example.json"),
        (OLDER, BOTH, "input_example.json"),
        (OLDER.replace("input_example.json", "'an e.json'"), ("an e.json",), "an e.json"),
        (MLMODEL, (), None),
        ("artifact_path: model\n", BOTH, None),
        (MLMODEL.replace("serving_input_example.json", "../../secret"), BOTH, "input_example.json"),
    ],
)
def test_mlflows_own_is_found_among_the_models_files(
    mlmodel: str, files: tuple[str, ...], name: str | None
) -> None:
    assert named_by_mlflow(mlmodel, files) == name


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([{"a": 1}], [{"a": 1}]),
        ({"inputs": [1]}, {"inputs": [1]}),
        (
            {"columns": ["a"], "data": [[1]]},
            {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
        ),
    ],
)
def test_it_is_a_request(said: Any, expected: Any) -> None:
    assert checked(json.dumps(said).encode(), "e.json") == expected


def test_it_can_be_written_as_json_again() -> None:
    assert checked(b"[[NaN, Infinity, 1]]", "e.json") == [[None, None, 1]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "the example e.json is not a request: the request is not JSON"),
        (b"3", "the example e.json is not a request: the request is a number"),
        (None, "the example e.json is larger than 1 MiB"),
    ],
)
def test_what_is_none_is_told(content: bytes | None, said: str) -> None:
    with pytest.raises(BadRequest) as raised:
        checked(content, "e.json")

    assert said in str(raised.value)
