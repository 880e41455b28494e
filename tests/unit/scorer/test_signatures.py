"""What models say of what they take."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from mlgate.scorer.signatures import Column, Signature, Tensor, of_estimator, of_mlflow, of_onnx

COLUMN = {"type": "double", "name": "a", "required": True}
ARRAY = {"type": "array", "items": {"type": "double"}, "name": "b", "required": False}
TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (
            [COLUMN, ARRAY],
            Signature("mlflow", columns=(Column("a", "double"), Column("b", None, False))),
        ),
        ([{"type": "double"}, {"type": "long"}], Signature("mlflow", width=2)),
        ([TENSOR], Signature("mlflow", tensors=(Tensor(None, "float32", (None, 28, 28)),))),
        (
            [{**TENSOR, "name": "x"}],
            Signature("mlflow", tensors=(Tensor("x", "float32", (None, 28, 28)),)),
        ),
        ([], None),
    ],
)
def test_mlflows_are_read(inputs: Any, expected: Signature | None) -> None:
    told = {"inputs": json.dumps(inputs), "outputs": None, "params": None}
    found = of_mlflow(told)

    assert found == (expected and Signature(**{**vars(expected), "outputs": []}))


def test_a_model_without_one_has_none() -> None:
    assert of_mlflow(None) is None
    assert of_estimator(object()) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"feature_names_in_": ["a", "b"], "n_features_in_": 2},
            Signature("scikit-learn", columns=(Column("a"), Column("b"))),
        ),
        ({"n_features_in_": 3}, Signature("scikit-learn", width=3)),
        ({"feature_names_in_": [0, 1], "n_features_in_": 2}, Signature("scikit-learn", width=2)),
        ({"n_features_in_": None}, None),
    ],
)
def test_estimators_are_asked(fields: Any, expected: Signature | None) -> None:
    assert of_estimator(SimpleNamespace(**fields)) == expected


def node(name: str, kind: str, *shape: Any) -> Any:
    return SimpleNamespace(name=name, type=kind, shape=list(shape))


def test_a_graph_with_an_input_for_each_column_takes_a_table() -> None:
    inputs = [node("a", "tensor(float)", None, 1), node("b", "tensor(string)", "batch", 1)]
    found = of_onnx(inputs, [node("label", "tensor(int64)", None)])

    assert found.columns == (Column("a", "float"), Column("b", "string"))
    assert found.outputs == [{"name": "label", "type": "tensor(int64)"}]


def test_any_other_graph_takes_tensors() -> None:
    found = of_onnx([node("x", "tensor(float)", "batch", 4)], [])

    assert found.tensors == (Tensor("x", "float32", (None, 4)),)
    assert json.loads(json.dumps(found.as_json()))["tensors"][0]["shape"] == [None, 4]
