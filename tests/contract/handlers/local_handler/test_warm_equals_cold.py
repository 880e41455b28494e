"""No cell can tell a kernel that was forked from a template from one that was started as a program.

Each notebook is executed cold, warm, and warm again: with the same outputs, files and verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mlgate.orchestration.runs import Outcome, Task
from tests.contract.handlers.local_handler.conftest import Bench, warm_up
from tests.contract.handlers.local_handler.probes import CELLS, ENDS, FILES
from tests.contract.handlers.local_handler.test_with_the_launcher import written
from tests.contract.handlers.local_handler.warmth import LINUX_ALONE, TELL, of_cells, was_warm

pytestmark = LINUX_ALONE

# What differs between two cold runs as well.
VARYING = "VARYING = {'JPY_PARENT_PID', 'MLGATE_ATTEMPT'}"
ADDRESS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)? ?([nµm]?s|MiB)\b|(?<=/ipykernel_)\d+|(?<=\(pid=)\d+")


def test_no_cell_can_tell(cold: Bench) -> None:
    answers, outcomes = [], []
    for task in started(cold, [VARYING, *CELLS.values()]):
        outcomes.append(outcome_of(cold.run(task)))
        answers.append(answers_of(cold, task))

    names = [TELL, VARYING, *CELLS]
    assert len(CELLS) >= 40
    for again in answers[1:]:
        pairs = zip(answers[0], again, strict=True)
        assert {
            name: pair for name, pair in zip(names, pairs, strict=True) if len(set(pair)) > 1
        } == {}
    assert outcomes == [outcomes[0]] * 3
    silent = [name for name, answer in zip(names, answers[0], strict=True) if not answer]
    assert silent == [VARYING]


def test_what_a_notebook_leaves_for_its_end_is_done(cold: Bench) -> None:
    left, logs, outcomes = [], [], []
    for task in started(cold, ["import os\nos.makedirs('left', exist_ok=True)", *ENDS.values()]):
        outcomes.append(outcome_of(cold.run(task)))
        folder = cold.attempt_folder(task) / "tree" / "nb" / "left"
        left.append({path.name: path.read_text() for path in folder.iterdir()})
        logs.append(plain(written(cold, "log.txt"), task))

    assert left[0] == {
        "class.txt": "",  # Python itself ends without it
        "cycle.txt": "cyclic",
        "del.txt": "deleted",
        "final.txt": "final",
        "going.txt": "finally",
        "handler.txt": "",
        "hook.txt": "at the end",
        "log.txt": "kept\n",
        "module.txt": "of a module",
        "open.txt": "plain",
        "pool.txt": "pooled",
        "thread.txt": "late",
    }
    assert left[1:] == [left[0]] * 2
    assert logs[1:] == [logs[0]] * 2
    assert outcomes == [outcomes[0]] * 3


def started(bench: Bench, cells: Iterable[str]) -> Iterable[Task]:
    """The notebook as one task after the other: to be executed cold, warm, and warm again."""
    for number in (1, 2, 3):
        task = of_cells(bench, *cells, number=number, more=tagged(cells))
        yield task
        assert was_warm(bench, task) is (number > 1)
        warm_up(bench)


def tagged(cells: Iterable[str]) -> Mapping[str, str | bytes]:
    """A notebook that goes on after each cell that raises, and the files that it needs."""
    listed: list[object] = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {"tags": ["raises-exception"]},
            "outputs": [],
            "source": source,
            "execution_count": None,
        }
        for number, source in enumerate([TELL, *cells])
    ]
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": listed}
    return {"nb/a.ipynb": json.dumps(content), **FILES}


def answers_of(bench: Bench, task: Task) -> list[str]:
    """What each cell shows, without addresses, times and the attempt's own name."""
    cells = json.loads(written(bench, "executed.ipynb"))["cells"]
    return [plain(shown(cell["outputs"]), task) for cell in cells]


def shown(outputs: Iterable[Mapping[str, Any]]) -> str:
    found = []
    for output in outputs:
        texts = (output.get("text"), output.get("data", {}).get("text/plain"), output.get("evalue"))
        found += ["".join(text) for text in texts if text]
        found += output.get("traceback", ())
    return "\n".join(found)


def plain(text: str, task: Task) -> str:
    return ADDRESS.sub("-", text.replace(task.attempt.id, "ATTEMPT"))


def outcome_of(outcome: Outcome) -> tuple[object, ...]:
    return outcome.status, outcome.failure, outcome.warnings, outcome.metrics
