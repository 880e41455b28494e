"""Predictions as plain JSON, in the form of their request.

Values of libraries are recognized by the name of their class's module, since no library is imported
here.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from mlgate.scorer.errors import BadAnswer
from mlgate.scorer.requests import OF_COLUMNS, OF_MLFLOW

# Tolerances between machines: the last digits depend on the processor's instructions.
RELATIVE, ABSOLUTE = 1e-5, 1e-8
_DEPTH = 64


def wrapped(predictions: Any, form: str) -> Any:
    """What is sent, depending on the request's form: MLflow's object, ours, or the predictions."""
    if form == OF_MLFLOW:
        return {"predictions": predictions}
    return {"prediction": predictions} if form == OF_COLUMNS else predictions


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """The value as JSON: NaN and infinity are null. Raises BadAnswer for what JSON cannot hold."""
    if value is None or isinstance(value, (bool, str)):
        # A subclass, such as numpy's text, becomes a plain str.
        return str(value) if isinstance(value, str) else value
    if not depth:
        raise BadAnswer("the model's answer is nested too deeply for JSON")
    if isinstance(value, Mapping):
        return {str(_key(key)): plain(each, depth - 1) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each, depth - 1) for each in value]
    library = type(value).__module__.partition(".")[0]
    if library == "pandas" and (found := _of_pandas(value)) is not value:
        return plain(found, depth - 1)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return plain(float(value), depth - 1)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if hasattr(value, "toarray"):  # scipy's sparse matrices
        return plain(value.toarray(), depth - 1)
    if getattr(getattr(value, "dtype", None), "kind", "") == "M":
        # numpy's times, of which tolist() would give the nanoseconds.
        return _times(value.astype(str).tolist())
    if hasattr(value, "detach"):  # torch's
        return plain(value.detach().cpu().tolist(), depth - 1)
    if hasattr(value, "tolist") and (found := value.tolist()) is not value:
        return plain(found, depth - 1)
    if hasattr(value, "numpy"):  # tensorflow's
        return plain(value.numpy(), depth - 1)
    raise BadAnswer(
        f"the model answered with {type(value).__module__}.{type(value).__qualname__}, which JSON "
        "cannot hold: return numbers, texts, lists, arrays or tables"
    )


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same, except for the last digits of their numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    numbers = [type(each) in (int, float) for each in (one, other)]
    if all(numbers) and float in (type(one), type(other)):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(one) is type(other) and bool(one == other)


def _of_pandas(value: Any) -> Any:
    """Tables as records, as in MLflow's answers; columns as lists; missing values as None."""
    name = type(value).__name__
    if name == "DataFrame":
        return value.to_dict("records")
    if name in ("NAType", "NaTType"):
        return None
    return value.tolist() if hasattr(value, "tolist") else value


def _times(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_times(each) for each in texts]
    return None if texts == "NaT" else texts


def _key(key: Any) -> Any:
    """A numpy number as Python's, whose text is only the number."""
    return key.item() if hasattr(key, "item") else key
