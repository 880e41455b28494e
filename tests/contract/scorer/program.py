"""Makes a model of each format and asks it, in the environment that has their libraries.

    python program.py ROOT FOLDER     prints the answers, as JSON

ROOT is what has mlgate in it; the models stay in FOLDER. In one process, as the libraries are slow
to import.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

REQUESTS = {
    "split": {"dataframe_split": {"columns": ["b", "a"], "data": [[0, 1], [1, 4]]}},
    "records": {"dataframe_records": [{"b": 0, "a": 1}]},
    "columns": {"b": {"0": 0, "1": 1}, "a": {"0": 1, "1": 4}},
    "rows": [{"b": 0, "a": 1}, {"b": 1, "a": 4}],
    "positions": [[1, 0], [4, 1]],
    "inputs": {"inputs": {"b": [1], "a": [4]}},
    "missing": [{"a": 1}],
    "text": [{"a": "x", "b": 0}],
    "null": [{"a": None, "b": 0}],
}


def library(name: str) -> Any:
    """Not here when this is checked."""
    return importlib.import_module(name)


def make(folder: Path) -> None:
    joblib, pickle, pandas = map(library, ("joblib", "pickle", "pandas"))
    table = pandas.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0, 1, 0, 1]})
    make_model = library("sklearn.linear_model").LogisticRegression
    model = make_model(C=100).fit(table, ["low", "low", "high", "high"])
    nameless = make_model(C=100).fit(table.to_numpy(), [0, 0, 1, 1])
    untrusted = library("sklearn.tree").DecisionTreeClassifier().fit(table, [0, 0, 1, 1])
    joblib.dump(model, folder / "named.joblib")
    with (folder / "nameless.pkl").open("wb") as file:
        pickle.dump(nameless, file)
    library("skops.io").dump(model, folder / "named.skops")
    library("skops.io").dump(untrusted, folder / "untrusted.skops")
    signature = library("mlflow.models").infer_signature(table, model.predict(table))
    saved = library("mlflow.sklearn").save_model
    saved(model, folder / "flow", signature=signature, input_example=table[:2])
    sys.path.insert(0, str(Path(__file__).parent))
    graphs = library("onnx_bytes")
    (folder / "tensor.onnx").write_bytes(graphs.doubling())
    (folder / "columns.onnx").write_bytes(graphs.of_columns())


class Answers:
    """A model whose answers are of libraries' own kinds."""

    def predict(self, rows: Any) -> Any:
        numpy, pandas = library("numpy"), library("pandas")
        return {
            "numbers": numpy.array([1.5, numpy.nan, numpy.inf], dtype="float32"),
            "whole": numpy.int64(3),
            "truth": numpy.bool_(True),
            "text": numpy.array(["a"]),
            "times": numpy.array(["2026-11-29", "NaT"], dtype="datetime64[D]"),
            "table": pandas.DataFrame({"a": [1, 2], "b": ["x", None]}),
            "column": pandas.Series([1.0, None]),
            "time": pandas.Timestamp("2026-11-29"),
            "none": [pandas.NA, pandas.NaT],
            numpy.int64(7): {"sparse": library("scipy.sparse").csr_matrix([[0, 1]])},
        }


def ask(folder: Path) -> dict[str, Any]:
    scorer = library("mlgate.scorer.loading")
    requests = library("mlgate.scorer.requests")
    found: dict[str, Any] = {}
    formats = {"joblib": "joblib", "pkl": "pickle", "skops": "skops", "onnx": "onnx", "": "mlflow"}
    for name in (
        "named.joblib",
        "nameless.pkl",
        "named.skops",
        "flow",
        "tensor.onnx",
        "columns.onnx",
    ):
        model = scorer.load(folder / name, formats[name.partition(".")[2]])
        found[name] = {"signature": model.signature.as_json()}
        for request, body in REQUESTS.items():
            try:
                said = scorer.answer(model, requests.read(json.dumps(body)))
            except Exception as error:  # noqa: BLE001 -- told as it is
                said = f"{type(error).__name__}: {error}"
            found[name][request] = said
    try:
        scorer.load(folder / "untrusted.skops", "skops")
    except Exception as error:  # noqa: BLE001 -- likewise
        found["untrusted"] = str(error)
    answers = library("mlgate.scorer.answers")
    found["kinds"] = answers.plain(Answers().predict(None))
    return found


if __name__ == "__main__":
    sys.path[0] = sys.argv[1]
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter(
            "error", UserWarning
        )  # as of names that the model was not fitted with
        folder = Path(sys.argv[2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make(folder)
        text = json.dumps(ask(folder), allow_nan=False)
    sys.stdout.write(text)
