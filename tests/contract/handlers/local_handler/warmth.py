"""Notebook runs that tell how their kernel came to be."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from handlers.local_handler.warm import Begun
from mlgate.orchestration.runs import RunKind, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench
from tests.contract.handlers.local_handler.test_with_the_launcher import notebook, written

LINUX_ALONE = pytest.mark.skipif(sys.platform != "linux", reason="warm starts are Linux's alone")
ROOT = Path(__file__).parents[4]
# The kernel's own word for how it came to be: forked, it shows the template's command.
TELL = "import shutil; shutil.copyfile('/proc/self/cmdline', '../command')"


def process_of(template: Begun) -> int:
    return template._process.pid


def of_cells(
    bench: Bench,
    *cells: str,
    number: int = 1,
    more: Mapping[str, str | bytes] | None = None,
    **fields: Any,
) -> Task:
    """A notebook in the folder `nb` whose kernel first tells how it came to be."""
    files = {"nb/a.ipynb": notebook(TELL, *cells), **(more or {})}
    given = {"kind": RunKind.NOTEBOOK, "path": "nb/a.ipynb", "directory": "nb", "command": None}
    return bench.task(name="a", files=files, number=number, **(given | fields))


def was_warm(bench: Bench, task: Task) -> bool:
    command = bench.attempt_folder(task) / "tree" / "command"
    return b"template.main" in command.read_bytes()


def told(bench: Bench, *cells: str, number: int = 1, **fields: Any) -> list[object]:
    """The list that the last cell of a warm notebook shows as its value."""
    task = of_cells(bench, *cells, number=number, **fields)
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    assert was_warm(bench, task)
    executed = json.loads(written(bench, "executed.ipynb"))
    text = "".join(executed["cells"][-1]["outputs"][-1]["data"]["text/plain"])
    found = ast.literal_eval(text)
    assert isinstance(found, list)
    return found
