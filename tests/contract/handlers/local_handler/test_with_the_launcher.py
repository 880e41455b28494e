"""The local backend together with the launcher that it is made for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgate.orchestration.runs import FailureKind, Outcome, RunKind, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench

WAITS = "import time; open('waiting', 'w').close()\nwhile True: time.sleep(0.05)"


@pytest.fixture
def real(bench: Bench) -> Bench:
    bench.handler = bench.new_handler(launcher=None, grace_seconds=20.0)
    return bench


def notebook(*cells: str) -> str:
    listed = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "outputs": [], "source": source}
        | {"execution_count": None}
        for number, source in enumerate(cells)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": listed})


def of_notebook(bench: Bench, *cells: str, **fields: Any) -> Task:
    files = {"nb/a.ipynb": notebook(*cells)}
    given: dict[str, Any] = {
        "kind": RunKind.NOTEBOOK,
        "path": "nb/a.ipynb",
        "directory": "nb",
        "command": None,
    }
    return bench.task(files=files, name="a", **(given | fields))


def waiting(bench: Bench, task: Task) -> None:
    assert bench.handler.submit(task)
    bench.until((bench.attempt_folder(task) / "tree" / "nb" / "waiting").exists)


def written(bench: Bench, name: str) -> str:
    return (bench.files.read(bench.build, f"runs/a/{name}") or b"").decode()


def test_a_training_is_executed_with_its_metrics_and_outputs(real: Bench) -> None:
    script = (
        "import json, os, pathlib, sys\n"
        "metrics = json.dumps({'alpha': float(sys.argv[1])})\n"
        "pathlib.Path('outputs/metrics.json').write_text(metrics)\n"
        "pathlib.Path('model.txt').write_text(os.environ['MLGATE_RUN_NAME'])\n"
        "print('trained')\n"
    )
    task = real.task(script, command="python script.py 0.5", outputs=("*.txt",))
    outcome = real.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    assert outcome.metrics == {"alpha": 0.5}
    assert outcome.outputs == ("runs/train/model.txt", "runs/train/outputs/metrics.json")
    assert real.files.read(real.build, "runs/train/model.txt") == b"train"
    assert "trained" in real.log(task)


def test_a_command_that_is_too_long_for_the_system_is_invalid(real: Bench) -> None:
    outcome = real.run(real.task("", command=f"true # {'x' * 140_000}"))

    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INVALID
    assert outcome.failure.message.startswith("the command or a variable is too long")


def test_a_notebook_is_executed_and_its_cells_are_seen(real: Bench) -> None:
    task = of_notebook(real, "x = 1", "print('x is', x)")
    outcome = real.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    seen = real.see(task)
    assert [cell.status for cell in seen.cells] == ["succeeded", "succeeded"]
    assert seen.cells_total == 2
    assert "x is 1" in written(real, "executed.ipynb")
    assert "x is 1" in written(real, "executed.html")


def test_a_failing_cell_is_named(real: Bench) -> None:
    outcome = real.run(of_notebook(real, "x = 1", "x / 0"))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.cell) == (FailureKind.CODE, 2)


@pytest.mark.parametrize("kind", [RunStatus.CANCELED, FailureKind.TIMEOUT])
def test_a_notebook_that_is_ended_keeps_its_cells_so_far(real: Bench, kind: object) -> None:
    limit = 0.15 if kind is FailureKind.TIMEOUT else 60
    task = of_notebook(real, "print('the first cell')", WAITS, timeout_minutes=limit)
    waiting(real, task)
    if kind is RunStatus.CANCELED:
        real.handler.cancel([task.attempt])
    outcome: Outcome = real.ended(task)
    assert kind in (outcome.status, outcome.failure and outcome.failure.kind)
    assert not real.processes()
    assert "the first cell" in written(real, "executed.ipynb")
    assert "the first cell" in written(real, "log.txt")


def test_a_training_that_needs_another_finds_its_outputs(real: Bench) -> None:
    first = real.task(
        "open('outputs/model', 'w').write('m')",
        command="python script.py",
        name="base-model",
    )
    real.run(first)
    second = real.task(
        "import os, shutil\n"
        "shutil.copy(os.environ['MLGATE_INPUT_BASE_MODEL'] + '/outputs/model', 'copy')\n",
        command="python script.py",
        name="next",
        outputs=("copy",),
        inputs={"base-model": first.attempt},
    )
    assert real.run(second).outputs == ("runs/next/copy",)
    assert real.files.read(real.build, "runs/next/copy") == b"m"
