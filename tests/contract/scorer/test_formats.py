"""Every format, with its real library: the same answers to all forms of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlgate.orchestration.models import manifest_of
from tests.contract.launcher.harness import Run
from tests.contract.scorer.conftest import ANSWERS, ENVIRONMENT, PYTHON

NAMED = ("named.joblib", "named.skops", "flow")

Answers = dict[str, Any]


@pytest.fixture(scope="module")
def answers(models: Path) -> Answers:
    """What the program prints."""
    found: Answers = json.loads((models / ANSWERS).read_text())
    return found


@pytest.mark.parametrize("name", NAMED)
def test_a_model_with_named_columns_takes_every_form(answers: Answers, name: str) -> None:
    """Columns in any order; positions in the model's."""
    said = answers[name]

    assert said["split"] == {"predictions": ["low", "high"]}
    assert said["records"] == {"predictions": ["low"]}
    assert said["columns"] == {"prediction": ["low", "high"]}
    assert said["rows"] == said["positions"] == ["low", "high"]
    assert said["inputs"] == {"predictions": ["high"]}
    assert said["missing"] == "BadRequest: missing column `b`. The model accepts a, b"


def test_types_are_checked_where_a_model_tells_them(answers: Answers) -> None:
    expected = "BadRequest: row 1, column `a`: 'x' is not a value of type double"

    assert answers["flow"]["text"] == expected
    assert answers["flow"]["signature"]["columns"][1]["type"] == "long"
    told = "BadRequest: row 1, column `a`: 'x' is not a number, but the model needs one there"
    assert answers["named.joblib"]["text"] == told


def test_a_model_without_names_takes_columns_as_they_come(answers: Answers) -> None:
    said = answers["nameless.pkl"]

    assert said["signature"]["width"] == 2
    assert said["positions"] == [0, 1]
    assert said["split"] == {"predictions": [0, 0]}
    assert said["missing"] == "BadRequest: row 1 has 1 value, but the model needs 2"


def test_a_graph_with_one_input_takes_rows(answers: Answers) -> None:
    said = answers["tensor.onnx"]

    assert said["positions"] == [[2.0, 0.0], [8.0, 2.0]]
    assert said["null"] == [[None, 0.0]]
    assert "the shape (1, 1), but the model needs (any, 2)" in said["missing"]
    assert said["text"].startswith("BadRequest: the values cannot be converted")


def test_a_graph_with_an_input_for_each_column_takes_tables(answers: Answers) -> None:
    said = answers["columns.onnx"]

    expected = {"sum": [[1.0], [5.0]], "same": [[0.0], [1.0]]}
    assert said["split"] == {"predictions": expected}
    assert said["columns"] == {"prediction": expected}
    assert said["rows"] == said["positions"] == expected
    assert said["missing"].startswith("BadRequest: missing column `b`")


def test_skops_loads_nothing_that_it_does_not_trust(answers: Answers) -> None:
    assert "does not trust: sklearn.tree._tree.Tree." in answers["untrusted"]


def test_what_libraries_answer_becomes_json(answers: Answers) -> None:
    assert answers["kinds"] == {
        "numbers": [1.5, None, None],
        "whole": 3,
        "truth": True,
        "text": ["a"],
        "times": ["2026-11-29", None],
        "table": [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
        "column": [1.0, None],
        "time": "2026-11-29T00:00:00",
        "none": [None, None],
        "7": {"sparse": [[0, 1]]},
    }


def checked(folder: Path, kept: Path, **task: Any) -> Run:
    """In an environment that has, as a run's on Azure ML, MLflow's plugin; it fails if imported."""
    plugin = folder / "site"
    (plugin / "azureml" / "mlflow").mkdir(parents=True)
    (plugin / "azureml" / "mlflow" / "__init__.py").write_text("raise SystemExit('imported')")
    info = plugin / "azureml_mlflow-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: azureml-mlflow\nVersion: 1\n")
    (info / "RECORD").write_text("azureml/mlflow/__init__.py,,\n")
    (info / "entry_points.txt").write_text("[mlflow.tracking_store]\nazureml = azureml.mlflow:a\n")
    (folder / "root").mkdir()
    fields = {"kind": "serving", "model": "train", "model_variable": "KEPT", **task}
    variables = {"KEPT": str(kept), "PYTHONPATH": str(plugin)}
    return Run(folder, fields, variables, python=PYTHON).wait()


@pytest.mark.parametrize(
    ("path", "needed", "answer"),
    [
        ("flow", {"mlflow-skinny", "pandas", "scikit-learn"}, {"predictions": ["low", "low"]}),
        ("columns.onnx", {"numpy", "onnxruntime"}, None),
    ],
)
def test_a_check_tells_what_is_needed(
    models: Path, tmp_path: Path, path: str, needed: set[str], answer: Any
) -> None:
    """MLflow's own example is asked where there is one."""
    run = checked(tmp_path, models, path=path)

    assert run.outcome["status"] == "succeeded", run.log
    record = json.loads((run.output / "kept/outputs/model.json").read_text())
    assert record["answer"] == answer
    record.pop("warnings")
    manifest = manifest_of(json.dumps(record).encode())
    assert manifest is not None
    versions = {name: version_of(name) for name in needed}
    assert versions.items() <= manifest.distributions.items()
    assert ("scikit-learn" in manifest.distributions) == ("scikit-learn" in needed)
    assert not {"mlgate", "azureml-mlflow"} & manifest.distributions.keys()


def version_of(name: str) -> str:
    pattern = f"{name.replace('-', '_')}-*.dist-info"
    [info] = (ENVIRONMENT / "lib").glob(f"python3*/site-packages/{pattern}")
    return info.name.removesuffix(".dist-info").rpartition("-")[2]
