"""A model of every format, in a process of its own in an environment that has its libraries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgate.scorer.replies import ROUTES
from tests.contract.scorer.conftest import PYTHON
from tests.contract.scorer.served import Served

JSON, CSV = "application/json", "text/csv"
ROWS = [{"b": 0, "a": 1}, {"b": 1, "a": 4}]
FAMILIES: dict[str, tuple[str, Any]] = {
    "split": (JSON, {"dataframe_split": {"columns": ["b", "a"], "data": [[0, 1], [1, 4]]}}),
    "records": (JSON, {"dataframe_records": ROWS}),
    "instances": (JSON, {"instances": ROWS}),
    "arrays": (JSON, {"instances": [[1, 0], [4, 1]]}),
    "inputs": (JSON, {"inputs": {"b": [0, 1], "a": [1, 4]}}),
    "csv": (CSV, b"b,a\n0,1\n1,4\n"),
    "columns": (JSON, {"b": {"0": 0, "1": 1}, "a": {"0": 1, "1": 4}}),
    "rows": (JSON, ROWS),
    "positions": (JSON, [[1, 0], [4, 1]]),
}
FORMATS: dict[str, tuple[str, Any]] = {
    "named.joblib": ("joblib", ["low", "high"]),
    "named.skops": ("skops", ["low", "high"]),
    "flow": ("mlflow", ["low", "high"]),
    "columns.onnx": ("onnx", {"sum": [[1.0], [5.0]], "same": [[0.0], [1.0]]}),
}


@pytest.fixture(scope="module", params=FORMATS)
def served(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One process for all that a format is asked."""
    name = str(request.param)
    format_, answer = FORMATS[name]
    folder = tmp_path_factory.mktemp("served") / "child"
    served = Served(
        folder, models / name, format_, python=PYTHON, name=name, example=ROWS, answer=answer
    )
    yield served.ready()
    served.end()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_answered_on_every_route(served: Served, family: str) -> None:
    answer = FORMATS[json.loads((served.folder / "asked.json").read_text())["name"]][1]
    content_type, said = FAMILIES[family]
    found = {path: served.ask(said, path, content_type) for path in ROUTES}

    own = {"columns": {"prediction": answer}, "rows": answer, "positions": answer}
    assert found["/invocations"] == (200, {"predictions": answer})
    assert found["/predict"] == (200, own.get(family, {"predictions": answer}))
    assert found["/api/predict"] == found["/predict"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([{"a": 1}], "missing column `b`. The model accepts a, b"),
        ([{"a": 1, "b": 0, "bb": 1}], "unknown column `bb` (did you mean `b`?)"),
        ([{"a": 1, "b": 0}, {"a": 1, "b": "x"}], "row 2, column `b`: 'x' is "),
        ([[1, 0], [1]], "row 2 has 1 value, but row 1 has 2"),
        ([], "the request has no rows"),
        ({"instances": [[1, 0]], "inputs": [[1, 0]]}, "several formats"),
    ],
)
def test_what_is_wrong_is_told(served: Served, said: Any, message: str) -> None:
    status, found = served.ask(said, "/invocations")

    assert (status, found["error_code"]) == (400, "BAD_REQUEST")
    assert message in found["message"]


def test_it_says_what_it_needs(served: Served) -> None:
    assert 20 < served.said["memory_mb"] < 2_000
    assert 0 < served.said["load_seconds"] < 60
