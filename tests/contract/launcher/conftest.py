"""One folder per test: `root/` holds the user's tree, `output/` what the run leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.launcher.harness import Run, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a run over a tree of files; none of them outlives the test."""
    runs: list[Run] = []

    def start(
        files: Mapping[str, Any], environment: Mapping[str, str] | None = None, **task: Any
    ) -> Run:
        for name, content in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        (tmp_path / "root").mkdir(exist_ok=True)
        runs.append(Run(tmp_path, task, environment or {}))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()


@pytest.fixture
def run_notebook(start: Start) -> Start:
    """Runs a notebook to its end."""

    def run(notebook: Any, files: Mapping[str, Any] | None = None, **task: Any) -> Run:
        return start({"notebook.ipynb": notebook, **(files or {})}, **task).wait()

    return run


@pytest.fixture
def run_command(start: Start) -> Start:
    """Runs a command to its end."""

    def run(command: str, files: Mapping[str, Any] | None = None, **task: Any) -> Run:
        return start(files or {}, kind="training", command=command, **task).wait()

    return run
