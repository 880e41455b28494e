"""One folder per test: `root/` holds the user's tree, `output/` what the run leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.contract.launcher.harness import Run, Start
from tests.contract.launcher.models import Serve


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a run over a tree of files; none of them outlives the test."""
    runs: list[Run] = []

    def start(
        files: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        **task: Any,
    ) -> Run:
        for name, content in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        (tmp_path / "root").mkdir(exist_ok=True)
        runs.append(Run(tmp_path, task, environment or {}, options=options))
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


@pytest.fixture(scope="session")
def locust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has locust."""
    from handlers.local_handler.tools import tool
    from mlgate.load.pins import PINS
    from mlgate.orchestration.errors import OrchestrationError

    try:
        made = tool(tmp_path_factory.mktemp("tools"), PINS, tmp_path_factory.mktemp("scratch"))
    except OrchestrationError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"locust cannot be installed: {error}")
    return made.python


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Serve:
    """Checks a model among what the run `train` kept; to its end, unless it is not waited for."""

    def serve(
        kept: Mapping[str, str | bytes],
        *,
        files: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
        **task: Any,
    ) -> Run:
        for name, content in kept.items():
            path = tmp_path / "kept" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        variables = {"MLGATE_INPUT_TRAIN": str(tmp_path / "kept"), **(environment or {})}
        fields = {"kind": "serving", "path": None, "model": "train"}
        fields |= {"model_variable": "MLGATE_INPUT_TRAIN", **task}
        run = start(files or {}, variables, **fields)
        return run.wait() if wait else run

    return serve
