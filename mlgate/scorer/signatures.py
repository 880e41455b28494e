"""What a model accepts, as far as it says: columns, rows of a width, or tensors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# MLflow's names of types; other sources are mapped to them.
TYPES = ("double", "float", "long", "integer", "string", "boolean", "datetime", "binary")
OF_ONNX = {
    "tensor(double)": "float64", "tensor(float)": "float32", "tensor(float16)": "float16",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(int16)": "int16",
    "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(bool)": "bool",
    "tensor(string)": "str",
}  # numpy's names, a row a line # fmt: skip
_OF_NUMPY = {
    "float64": "double", "float32": "float", "int64": "long", "int32": "integer",
    "str": "string", "bool": "boolean",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """`type` is one of `TYPES`, or None if it is unknown or not a type of single values."""

    name: str
    type: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Tensor:
    """`dtype` is numpy's name; a dimension of None may have any size."""

    name: str | None
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """What the model accepts, in one of `columns`, `width` and `tensors`; `outputs` is JSON.

    `width` is the number of values in a row, for columns without names.
    """

    source: str  # "mlflow", "scikit-learn", "onnx"
    columns: tuple[Column, ...] = ()
    width: int | None = None
    tensors: tuple[Tensor, ...] = ()
    outputs: Any = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def of_mlflow(given: Mapping[str, Any] | None) -> Signature | None:
    """From the result of MLflow's `ModelSignature.to_dict`, whose schemas are JSON text."""
    inputs = _schema(given, "inputs")
    if not inputs:
        return None
    outputs = _schema(given, "outputs")
    if all(each.get("type") == "tensor" for each in inputs):
        return Signature("mlflow", tensors=tuple(map(_tensor, inputs)), outputs=outputs)
    if all(each.get("name") is not None for each in inputs):
        columns = (
            Column(
                str(each["name"]),
                each["type"] if each.get("type") in TYPES else None,
                bool(each.get("required", True)),
            )
            for each in inputs
        )
        return Signature("mlflow", columns=tuple(columns), outputs=outputs)
    return Signature("mlflow", width=len(inputs), outputs=outputs)


def of_estimator(model: Any) -> Signature | None:
    """From the attributes that scikit-learn, and libraries like it, set when fitting."""
    with contextlib.suppress(Exception):
        names = [*model.feature_names_in_]
        if names and all(isinstance(name, str) for name in names):
            columns = tuple(Column(str(name)) for name in names)
            return Signature("scikit-learn", columns=columns)
    with contextlib.suppress(Exception):
        width = int(model.n_features_in_)
        if width > 0:
            return Signature("scikit-learn", width=width)
    return None


def of_onnx(inputs: Sequence[Any], outputs: Sequence[Any]) -> Signature:
    """From an ONNX graph. Several inputs of one value each are columns, as converters make them."""
    tensors = [
        Tensor(each.name, OF_ONNX.get(each.type, each.type), _shape(each.shape)) for each in inputs
    ]
    described = [{"name": each.name, "type": each.type} for each in outputs]
    if len(tensors) > 1 and all(each.shape[1:] in ((), (1,)) for each in tensors):
        columns = tuple(Column(str(each.name), _OF_NUMPY.get(each.dtype)) for each in tensors)
        return Signature("onnx", columns=columns, outputs=described)
    return Signature("onnx", tensors=tuple(tensors), outputs=described)


def _schema(given: Mapping[str, Any] | None, name: str) -> list[dict[str, Any]]:
    value = (given or {}).get(name)
    listed = json.loads(value) if isinstance(value, str) else value
    return [each for each in listed or () if isinstance(each, dict)]


def _tensor(given: Mapping[str, Any]) -> Tensor:
    spec = given.get("tensor-spec") or {}
    return Tensor(given.get("name"), str(spec.get("dtype")), _shape(spec.get("shape") or ()))


def _shape(shape: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in shape)
