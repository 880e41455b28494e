"""Models of every format, and the environment that has their libraries."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.scorer import program

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".venv" / "models"
PYTHON = ENVIRONMENT / "bin" / "python"
ANSWERS = "answers.json"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each format, made once for all processes of a test run."""
    if not (ENVIRONMENT / ".installed").exists():
        assert "CI" not in os.environ
        pytest.skip("`make models` installs the libraries of models")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = tmp_path_factory.getbasetemp().parent / f"models-{run}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ANSWERS).exists():
            command = list(map(str, (PYTHON, program.__file__, ROOT, folder)))
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (folder / ANSWERS).write_text(done.stdout)
    return folder
