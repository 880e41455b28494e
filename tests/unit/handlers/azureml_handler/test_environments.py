"""What an environment that is made of a commit's files consists of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import yaml

from handlers.azureml_handler.environments import (
    IMAGE,
    PYTHON,
    key,
    recipe,
    registered,
    week_of,
)
from mlgate.orchestration.backends.requirement_lines import Unusable
from mlgate.orchestration.runs import Environment, RunKind, RunSpec

TRAINING = RunSpec("a", RunKind.TRAINING, command="true")
NOTEBOOK = RunSpec("a", RunKind.NOTEBOOK, path="a.ipynb")


def read(files: dict[str, str]) -> Any:
    return lambda path: files[path].encode()


def of(spec: RunSpec, **asked: str) -> RunSpec:
    return replace(spec, environment=Environment(**asked))


def packages(spec: RunSpec, files: dict[str, str]) -> list[str]:
    made = json.loads(recipe(spec, read(files)).conda)
    assert made["dependencies"][:2] == [f"python={PYTHON}", "pip"]
    found: list[str] = made["dependencies"][2]["pip"]
    return found


def conda(line: str) -> str:
    return f"dependencies:\n- pip:\n  - {line}\n"


def test_requirements_become_a_conda_file() -> None:
    files = {"env/r.txt": "numpy>=2  # why\n-r more.txt\n", "env/more.txt": "pandas\n"}
    assert packages(of(TRAINING, requirements="env/r.txt"), files) == ["numpy>=2", "pandas"]
    assert recipe(of(TRAINING, requirements="env/r.txt"), read(files)).image == IMAGE


def test_the_base_image_stays_the_one_that_a_release_names() -> None:
    assert re.fullmatch(r"mcr\.microsoft\.com/azureml/[\w.-]+:\d{8}\.v\d+", IMAGE)


def test_a_model_is_checked_in_the_environment_of_a_training() -> None:
    serving = RunSpec("check", RunKind.SERVING, model="a")

    assert key(of(serving, requirements="r.txt")) == key(of(TRAINING, requirements="r.txt"))
    assert key(of(serving, requirements="r.txt")) != key(of(NOTEBOOK, requirements="r.txt"))


def test_notebooks_get_what_running_them_needs() -> None:
    more = ["ipykernel", "nbclient", "nbconvert", "nbformat"]
    assert packages(of(NOTEBOOK, requirements="r.txt"), {"r.txt": "numpy"}) == ["numpy", *more]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nbclient==0.10\nIPyKernel", ["nbclient==0.10", "IPyKernel", "nbconvert", "nbformat"]),
        ("nbconvert [webpdf]>7 ; python_version > '3'", None),
        ("numpy==2 --hash=sha256:0", ["numpy==2 --hash=sha256:0"]),
    ],
)
def test_what_a_file_names_is_not_added_to_it(text: str, found: list[str] | None) -> None:
    expected = found or [text, "ipykernel", "nbclient", "nbformat"]
    assert packages(of(NOTEBOOK, requirements="r.txt"), {"r.txt": text}) == expected


def test_the_files_that_a_conda_file_includes_are_written_into_it() -> None:
    text = "dependencies: [python=3.12, pip, {pip: [numpy, -r more.txt]}]\nchannels: [x]\n"
    files = {"env/c.yaml": text, "env/more.txt": "pandas # why\n-r ../last.txt", "last.txt": "a"}
    made = yaml.safe_load(recipe(of(TRAINING, conda_file="env/c.yaml"), read(files)).conda)
    pip = {"pip": ["numpy", "pandas", "a"]}
    assert made == {"channels": ["x"], "dependencies": ["python=3.12", "pip", pip]}


def test_a_conda_file_is_taken_as_it_is_on_the_image_asked_for() -> None:
    text = "dependencies:\n- python=3.11 # ours\n- pip: [numpy, --pre]\n"
    made = recipe(of(NOTEBOOK, conda_file="c.yaml", image="mine"), read({"c.yaml": text}))
    assert (made.image, made.conda) == ("mine", text)


def test_a_version_stands_for_content_alone() -> None:
    one = recipe(of(TRAINING, requirements="r.txt"), read({"r.txt": "numpy\n\n# x"}))
    same = recipe(of(TRAINING, requirements="s.txt"), read({"s.txt": "numpy"}))
    other = recipe(of(TRAINING, requirements="r.txt"), read({"r.txt": "numpy==2"}))
    imaged = replace(one, image="mine")
    assert one.version == same.version
    assert len({one.version, other.version, imaged.version}) == 3


def test_what_has_no_version_is_built_again_each_week() -> None:
    """By the calendar of ISO 8601, in which a year's last days can be of the next one."""
    runs = [of(TRAINING, requirements="r.txt")]

    def named(day: str) -> dict[str, str]:
        week = week_of(datetime.fromisoformat(day))
        return registered(runs, read({"r.txt": "numpy"}), lambda found: found.version, week)[0]

    assert named("2026-11-23T00:00:00+00:00") == named("2026-11-29T23:59:59+00:00")
    assert named("2026-11-23T00:00:00+00:00") != named("2026-11-30T00:00:00+00:00")
    assert named("2026-12-31T00:00:00+00:00") == named("2027-01-01T00:00:00+00:00")
    assert named("2026-01-01T00:00:00+00:00") != named("2026-12-31T00:00:00+00:00")


@pytest.mark.parametrize(
    ("asked", "files", "why"),
    [
        ({"requirements": "r.txt"}, {}, "There is no file r.txt in the repository"),
        ({"requirements": "../r.txt"}, {}, "outside the repository's folder"),
        ({"conda_file": "/etc/c.yaml"}, {}, "outside the repository's folder"),
        ({"requirements": "r.txt"}, {"r.txt": "-e ."}, "files of the repository.*packages only"),
        ({"requirements": "r.txt"}, {"r.txt": "./wheels/a.whl"}, "files of the repository"),
        ({"requirements": "r.txt"}, {"r.txt": "a\n-c c.txt", "c.txt": "b<2"}, "constraints"),
        ({"requirements": "r.txt"}, {"r.txt": "-r other.txt"}, "no file other.txt"),
        ({"conda_file": "c"}, {"c": conda("-e .")}, "c names files of the repository"),
        ({"conda_file": "c"}, {"c": conda("./a.whl")}, "c names files of the repository"),
        ({"conda_file": "c"}, {"c": conda("-r other.txt")}, "no file other.txt"),
        ({"conda_file": "c"}, {"c": conda("-c n.txt"), "n.txt": "b<2"}, "constraints"),
        ({"conda_file": "c"}, {"c": conda("{a: b}")}, "pip part of c is not a list"),
        ({"conda_file": "c"}, {"c": "dependencies: ["}, "c is not valid YAML: while parsing"),
        ({"conda_file": "c"}, {"c": "2026-13-01"}, "c is not valid YAML: month must be"),
        ({"conda_file": "c"}, {"c": "[" * 5000}, "c is not valid YAML: maximum recursion"),
        ({"conda_file": "c"}, {"c": "numpy"}, "c has no list of dependencies"),
        ({"conda_file": "c"}, {"c": "dependencies: numpy"}, "c has no list of dependencies"),
    ],
)
def test_what_azure_ml_cannot_make_is_told_with_a_remedy(
    asked: dict[str, str], files: dict[str, str], why: str
) -> None:
    with pytest.raises(Unusable, match=why):
        recipe(of(TRAINING, **asked), read(files))


def test_a_key_tells_environments_of_one_commit_apart() -> None:
    specs = [
        of(TRAINING, requirements="r.txt"),
        of(NOTEBOOK, requirements="r.txt"),
        of(TRAINING, conda_file="r.txt"),
        of(TRAINING, conda_file="r.txt", image="mine"),
    ]
    assert len({key(spec) for spec in specs}) == len(specs)
    assert key(of(TRAINING, requirements="r.txt", azureml="mine:1")) is None
    assert key(TRAINING) is None
