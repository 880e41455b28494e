"""The launcher runs wherever a run does: on older interpreters, beside whatever lies around it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate import launcher
from tests.contract.launcher.harness import LAUNCHER, LIMIT, Run, notebook

BIN = Path(sys.executable).parent  # has uv, which makes environments quickly


def interpreters() -> Iterator[tuple[tuple[int, int], str]]:
    """Other Pythons of this machine, by version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in range(6, 15):
        name = f"python3.{minor}"
        paths = [shutil.which(name), *map(str, sorted(pyenv.glob(f"3.{minor}.*/bin/{name}")))]
        for path in filter(None, paths):
            if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                yield (3, minor), path
                break


OTHERS = {v: path for v, path in interpreters() if v != sys.version_info[:2]}
SUPPORTED = [v for v in OTHERS if v >= launcher.OLDEST]
TOO_OLD = [v for v in OTHERS if (3, 8) <= v < launcher.OLDEST]
UNABLE = [v for v in OTHERS if v < (3, 8)]  # to read the launcher's syntax


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    text = json.dumps(notebook("import sys\nprint([sys.version_info[:2]])"))
    (tmp_path / "root" / "notebook.ipynb").write_text(text)
    (tmp_path / "root" / "outputs").mkdir()
    (tmp_path / "root" / "outputs" / ".kept").touch()
    return tmp_path


def test_its_syntax_is_that_of_the_oldest_python() -> None:
    ast.parse(LAUNCHER.read_text("utf-8"), feature_version=launcher.OLDEST)


@pytest.mark.skipif(not SUPPORTED, reason="there is no other Python on this machine")
@pytest.mark.parametrize(
    "version",
    # The oldest is the one that differs most.
    [*SUPPORTED[:1], *(pytest.param(version, marks=pytest.mark.slow) for version in SUPPORTED[1:])],
)
def test_every_supported_python_runs_both_kinds(version: tuple[int, int], files: Path) -> None:
    """In an environment of its own, where it installs what a notebook needs."""
    uv = [str(BIN / "uv"), "venv", "--quiet", "--python", OTHERS[version], str(files / "venv")]
    subprocess.run(uv, check=True, timeout=LIMIT)
    python = files / "venv" / "bin" / "python"
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = "python -c 'import sys; print([sys.version_info[:2]])'"

    training = Run(files, {"kind": "training", "command": command}, environment, python).wait()

    assert (training.outcome["status"], training.log) == ("succeeded", f"[{version}]\n")
    assert training.outcome["outputs"] == ["outputs/.kept"]

    overlay = files / "overlay"
    passed = Run(files, {}, environment, python, ["--overlay", str(overlay)]).wait()

    assert passed.outcome["status"] == "succeeded", passed.log
    assert f"[{version}]\n" in passed.log
    assert passed.html


@pytest.mark.skipif(not TOO_OLD, reason="there is no such old Python on this machine")
@pytest.mark.parametrize("version", TOO_OLD)
def test_an_older_python_is_an_environment_failure_that_says_so(
    version: tuple[int, int], files: Path
) -> None:
    run = Run(files, {"kind": "training", "command": "true"}, {}, Path(OTHERS[version])).wait()

    assert (run.exit_code, run.failure["kind"]) == (1, "environment")
    assert run.failure["message"] == (
        f"Python 3.{version[1]} is too old: the environment needs Python 3.9 or later"
    )
    assert run.failure["message"] in run.log


@pytest.mark.skipif(not UNABLE, reason="there is no such old Python on this machine")
@pytest.mark.parametrize("version", UNABLE)
def test_a_python_that_cannot_read_it_prints_what_is_needed(
    version: tuple[int, int], files: Path
) -> None:
    run = Run(files, {"kind": "training", "command": "true"}, {}, Path(OTHERS[version])).wait()

    assert run.exit_code == 1
    assert "mlgate needs Python 3.9 or later here" in run.printed
    assert not run.output.exists()


def test_nothing_beside_the_launcher_is_imported(files: Path) -> None:
    """Though it lies in the user's folder, among modules named like those of the library."""
    for name in ("argparse", "asyncio", "queue", "json", "nbclient"):
        (files / "root" / f"{name}.py").write_text("raise SystemExit('shadowed')")
    copy = shutil.copy(LAUNCHER, files / "root")

    run = Run(files, {"directory": "outputs"}, {}, launcher=Path(copy)).wait()

    assert run.outcome["status"] == "succeeded", run.printed
