"""Which environments get what MLflow needs to log to Azure ML, and which runs a warning instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from handlers.azureml_handler.environments import recipe, registered
from handlers.azureml_handler.plugin import PLUGIN
from mlgate.orchestration.runs import Environment, RunKind, RunSpec

RUNS = (
    RunSpec("a", RunKind.TRAINING, command="true"),
    RunSpec("a", RunKind.NOTEBOOK, path="a.ipynb"),
)


def read(files: dict[str, str]) -> Callable[[str], bytes]:
    return lambda path: files[path].encode()


def plugins(run: RunSpec, files: dict[str, str]) -> list[str]:
    """The lines of the run's environment that name the plugin."""
    asked = replace(run, environment=Environment(requirements="r.txt"))
    made = recipe(asked, read(files))
    assert made.warning is None
    return [line for line in json.loads(made.conda)["dependencies"][2]["pip"] if PLUGIN in line]


@pytest.mark.parametrize("run", RUNS, ids=["training", "notebook"])
@pytest.mark.parametrize(
    ("line", "added"),
    [
        ("mlflow", PLUGIN),
        ("mlflow-skinny", PLUGIN),
        ("MLflow_Skinny >=2,<3  # tracking", PLUGIN),
        ("mlflow.skinny==2.9", PLUGIN),
        ("mlflow[databricks, gateway]~=2.9", PLUGIN),
        ("mlflow \\\n  ==2.9", PLUGIN),
        ("mlflow @ https://example.org/a;b/mlflow-2.9-py3-none-any.whl", PLUGIN),
        ("mlflow;python_version<'4'", f"{PLUGIN}; python_version<'4'"),
        ("mlflow[x]>=2 ; sys_platform == 'linux' # why", f"{PLUGIN}; sys_platform == 'linux'"),
        (
            "mlflow @ https://example.org/a;b/mlflow.zip ; python_version > '3'",
            f"{PLUGIN}; python_version > '3'",
        ),
    ],
)
def test_an_environment_that_names_mlflow_gets_the_plugin(
    run: RunSpec, line: str, added: str
) -> None:
    assert plugins(run, {"r.txt": f"numpy\n{line}\n"}) == [added]
    assert plugins(run, {"r.txt": "-r env/more.txt", "env/more.txt": line}) == [added]


def test_each_condition_of_mlflow_is_the_plugins() -> None:
    lines = "mlflow<3; python_version < '3.10'\nmlflow>=3; python_version >= '3.10'"
    assert plugins(RUNS[0], {"r.txt": lines}) == [
        f"{PLUGIN}; python_version < '3.10'",
        f"{PLUGIN}; python_version >= '3.10'",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        "numpy",
        "# mlflow",
        "mlflow-export-import\nmlflowx\nsagemaker-mlflow",
        "--extra-index-url https://example.org/mlflow",
    ],
)
def test_no_other_environment_gets_it(lines: str) -> None:
    assert plugins(RUNS[0], {"r.txt": lines}) == []


@pytest.mark.parametrize("named", ["azureml-mlflow==1.60", "AzureML_MLflow; python_version > '3'"])
def test_one_that_is_named_is_the_users(named: str) -> None:
    asked = replace(RUNS[0], environment=Environment(requirements="r.txt"))
    made = recipe(asked, read({"r.txt": f"mlflow\n{named}"}))
    assert json.loads(made.conda)["dependencies"][2]["pip"] == ["mlflow", named]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["mlflow"], ["mlflow", "pip", {"pip": [PLUGIN]}]),
        (["mlflow=2.9", "pip=24"], ["mlflow=2.9", "pip=24", {"pip": [PLUGIN]}]),
        (
            ["conda-forge::mlflow-skinny=2", "conda-forge::pip"],
            ["conda-forge::mlflow-skinny=2", "conda-forge::pip", {"pip": [PLUGIN]}],
        ),
        (["pip", {"pip": ["MLflow>=2"]}], ["pip", {"pip": ["MLflow>=2", PLUGIN]}]),
        (["pip", {"pip": ["-r more.txt"]}], ["pip", {"pip": ["mlflow", PLUGIN]}]),
        (
            ["mlflow", {"pip": ["six"]}, "numpy"],
            ["mlflow", {"pip": ["six", PLUGIN]}, "numpy"],
        ),
        (
            ["pip", {"pip": ["mlflow; python_version < '4'"]}],
            [
                "pip",
                {"pip": ["mlflow; python_version < '4'", f"{PLUGIN}; python_version < '4'"]},
            ],
        ),
        (["mlflow", PLUGIN], ["mlflow", PLUGIN]),
        (["mlflow", {"pip": [f"{PLUGIN}==1"]}], ["mlflow", {"pip": [f"{PLUGIN}==1"]}]),
    ],
)
def test_a_conda_file_that_names_mlflow_gets_the_plugin_in_its_pip_part(
    listed: list[Any], expected: list[Any]
) -> None:
    asked = replace(RUNS[0], environment=Environment(conda_file="f.yml"))
    text = json.dumps({"name": "mine", "channels": ["c"], "dependencies": listed})
    made = recipe(asked, read({"f.yml": text, "more.txt": "mlflow"}))

    assert made.warning is None
    assert yaml.safe_load(made.conda) == {
        "name": "mine",
        "channels": ["c"],
        "dependencies": expected,
    }


HASHED = "mlflow==2.9 --hash=sha256:0"


@pytest.mark.parametrize(
    ("asked", "text", "remedy"),
    [
        ({"requirements": "f"}, HASHED, "Add azureml-mlflow with its hashes, and those of what"),
        ({"requirements": "f"}, "--require-hashes\nmlflow", "Add azureml-mlflow with its hashes"),
        ({"conda_file": "f"}, f"dependencies: [pip: ['{HASHED}']]", "with its hashes"),
        ({"conda_file": "f"}, "dependencies: [mlflow, pip: [-r hashed.txt]]", "with its hashes"),
        ({"requirements": "f"}, f"{HASHED}\nazureml-mlflow==1 --hash=sha256:0", None),
        ({"conda_file": "f"}, "dependencies: [mlflow, pip: [azureml-mlflow]]", None),
        ({"conda_file": "f"}, "dependencies: [mlflow, azureml-mlflow]", None),
        ({"conda_file": "f"}, "dependencies: [numpy]", None),
    ],
)
def test_a_file_that_is_left_as_it_is_has_a_warning_with_the_remedy(
    asked: dict[str, str], text: str, remedy: str | None
) -> None:
    run = replace(RUNS[1], environment=Environment(**asked))
    files = read({"f": text, "hashed.txt": "six==1 --hash=sha256:0"})
    names, warnings = registered([run], files, lambda made: made.version, "2026-W48")
    assert warnings.keys() == (names.keys() if remedy else set())
    for told in warnings.values():
        assert told.startswith("f names mlflow without azureml-mlflow, so MLflow cannot log to")
        assert remedy
        assert remedy in told
