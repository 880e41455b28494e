"""The launcher runs wherever a run does: on older interpreters, beside whatever lies around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.launcher.__main__ import OLDEST
from tests.contract.launcher.harness import LIMIT, Run, notebook, put_launcher

BIN = Path(sys.executable).parent  # has uv, which makes environments quickly


def interpreters() -> Iterator[tuple[tuple[int, int], str]]:
    """Other Pythons of this machine, by version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for major, minor in ((2, 7), *((3, minor) for minor in range(4, 15))):
        version = f"{major}.{minor}"
        name = f"python{version}"
        paths = [shutil.which(name), *map(str, sorted(pyenv.glob(f"{version}.*/bin/{name}")))]
        for path in filter(None, paths):
            if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                yield (major, minor), path
                break


OTHERS = {v: path for v, path in interpreters() if v != sys.version_info[:2]}
SUPPORTED = [v for v in OTHERS if v >= OLDEST]
TOO_OLD = [v for v in OTHERS if v < OLDEST]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    text = json.dumps(notebook("import sys\nprint([sys.version_info[:2]])"))
    (tmp_path / "root" / "notebook.ipynb").write_text(text)
    (tmp_path / "root" / "outputs").mkdir()
    (tmp_path / "root" / "outputs" / ".kept").touch()
    return tmp_path


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
    command = "python -c 'import sys; print([sys.version_info[:2]])' | tee outputs/said"

    training = Run(files, {"kind": "training", "command": command}, environment, python).wait()

    assert (training.outcome["status"], training.log) == ("succeeded", f"[{version}]\n")
    assert training.outcome["outputs"] == ["outputs/said"]

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
        f"Python {version[0]}.{version[1]} is too old: the environment needs Python 3.9 or later"
    )
    assert run.failure["message"] in run.log


def test_nothing_beside_the_launcher_is_imported(files: Path) -> None:
    """Though it lies in the user's folder, among modules named like those of the library."""
    for name in ("argparse", "asyncio", "queue", "json", "nbclient"):
        (files / "root" / f"{name}.py").write_text("raise SystemExit('shadowed')")
    launcher = put_launcher(files / "root")

    run = Run(files, {"directory": "outputs"}, {}, launcher=launcher).wait()

    assert run.outcome["status"] == "succeeded", run.printed
