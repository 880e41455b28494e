"""The wheel, as people install it: what is in it, and a message run by each Python that is here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.e2e.commands import PATIENCE, commit, environment, message, notebook

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CLASSIFIED = [
    found[1]
    for each in PROJECT["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From the files that git knows: a build in the clone itself would leave its own there.
    source = folder / "source"
    source.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([UV, "build", "-q", "--wheel", "-o", folder, source], check=True)
    [built] = folder.glob("mlgate-*.whl")
    return built


def test_the_wheel_holds_the_product_and_no_stand_in_that_only_tests_need(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()

    # `mlgate run` has a queue and a pipeline of its own.
    assert "mlgate/emulators/service_bus/server.py" in names
    assert "mlgate/emulators/azure_devops/server.py" in names
    assert not [name for name in names if name.startswith("mlgate/emulators/azure_ml")]
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mlgate", "handlers"}
    assert "License-Expression: MIT" in text
    assert "License-File: LICENSE" in text
    assert "Requires-Dist: pytest" not in text, "what development needs is no extra"


@pytest.mark.parametrize("python", CLASSIFIED)
def test_an_installed_wheel_runs_a_message(python: str, wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment, in another folder, with nothing of the clone on its path."""
    binaries = _installed(f"{wheel}[local]", tmp_path, python)
    done = _run(binaries, tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "output/result.json").read_text())["verdict"] == "succeeded"
    executed = (tmp_path / "output/runs/add/executed.ipynb").read_text()
    assert f"({python.replace('.', ', ')}) 2" in executed


def test_a_wheel_without_extras_says_what_a_run_needs(wheel: Path, tmp_path: Path) -> None:
    """It can still publish."""
    binaries = _installed(str(wheel), tmp_path, OWN)
    done = _run(binaries, tmp_path)

    assert done.returncode == 3
    assert "pip install 'mlgate[local]'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    subprocess.run([binaries / "mlgate", "publish", "--help"], check=True, capture_output=True)


def _installed(requirement: str, folder: Path, python: str) -> Path:
    """The folder of its programs."""
    made = subprocess.run(
        [UV, "venv", "-q", "--python", python, folder / "venv"],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0 and python != OWN:
        pytest.skip(f"neither this machine nor uv has Python {python}")
    assert made.returncode == 0, made.stderr
    binaries = folder / "venv/bin"
    subprocess.run(
        [UV, "pip", "install", "-q", "--python", binaries / "python", requirement], check=True
    )
    return binaries


def _run(binaries: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`mlgate run` of a notebook."""
    repository = folder / "repository"
    notebook(repository / "add.ipynb", "import sys", "print(sys.version_info[:2], 1 + 1)")
    commit(repository)
    asked = message(folder, repository, {"kind": "notebook", "path": "add.ipynb"})
    return subprocess.run(
        [binaries / "mlgate", "run", asked, "--output", "output"],
        cwd=folder,
        env={**environment(folder), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
