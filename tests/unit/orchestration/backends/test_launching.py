"""What a launcher is told of a run."""

from __future__ import annotations

import json

from mlgate.launcher.values import Task
from mlgate.orchestration.backends.launching import input_variable, launch_task
from mlgate.orchestration.runs import RunKind, RunSpec


def test_a_serving_run_finds_what_its_models_run_kept() -> None:
    spec = RunSpec("check", RunKind.SERVING, model="train-it", example="outputs/e.json")
    told = Task.read(json.dumps(launch_task(spec)))

    assert (told.kind, told.model, told.example) == ("serving", "train-it", "outputs/e.json")
    assert told.model_variable == input_variable("train-it") == "MLGATE_INPUT_TRAIN_IT"
    assert told.path == ""


def test_any_other_run_has_no_model() -> None:
    told = Task.read(json.dumps(launch_task(RunSpec("a", RunKind.TRAINING, command="true"))))

    assert (told.model, told.model_variable, told.example) == ("", "", None)
