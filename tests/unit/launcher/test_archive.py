"""The launcher is one file that holds all it needs, and always the same one."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.launcher.__main__ import OLDEST
from mlgate.launcher.archive import archive, compiled

ROOT = Path(__file__).parents[3]
# By their paths in the tree, and in the file.
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("launcher", "load", "scorer")
    for path in (ROOT / "mlgate" / package).glob("*.py")
)


def made_elsewhere(folder: Path) -> bytes:
    """By another process, of a copy whose files have other dates and modes."""
    for name in reversed(MODULES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
        os.utime(folder / name, (1, 1))
        (folder / name).chmod(0o400)
    (folder / "mlgate" / "__init__.py").touch()
    code = (
        "import sys; from mlgate.launcher import archive as a; sys.stdout.buffer.write(a.archive())"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True
    ).stdout


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    assert made_elsewhere(tmp_path) == archive()


def test_every_module_travels_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(archive())).namelist()

    inside = {*MODULES} - {"mlgate/launcher/__main__.py"}
    assert set(names) == inside | {"__main__.py", "mlgate/__init__.py"}


def test_bytecode_beside_it_is_what_its_python_executes(tmp_path: Path) -> None:
    """And a Python whose bytecode that is not reads the source."""
    whole, foreign = zipfile.ZipFile(io.BytesIO(compiled())), tmp_path / "foreign.pyz"
    inside = {*MODULES} - {"mlgate/launcher/__main__.py"} | {"mlgate/__init__.py"}
    assert set(whole.namelist()) == inside | {"__main__.py"} | {f"{name}c" for name in inside}
    (tmp_path / "own.pyz").write_bytes(compiled())
    with zipfile.ZipFile(foreign, "w") as made:
        for name in whole.namelist():
            content = whole.read(name)
            made.writestr(name, b"\0" + content[1:] if name.endswith(".pyc") else content)
    ask = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mlgate.launcher.text as text; "
        "print(text.__file__[len(sys.argv[1]) + 1:])"
    )

    def module_of(file: Path) -> str:
        command = [sys.executable, "-I", "-c", ask, str(file)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert module_of(tmp_path / "own.pyz") == "mlgate/launcher/text.pyc"
    assert module_of(foreign) == "mlgate/launcher/text.py"


def imported(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


@pytest.mark.parametrize("name", MODULES)
def test_the_oldest_python_reads_it_and_needs_no_package_for_it(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text("utf-8"), feature_version=OLDEST)
    own = name.partition(".")[0].rpartition("/")[0].replace("/", ".")
    travelling: tuple[str, ...] = (own,)
    if own == "mlgate.launcher":
        travelling = ("mlgate.launcher", "mlgate.load", "mlgate.scorer")

    foreign = {
        module.partition(".")[0]
        for module in imported(tree)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not module.startswith(travelling)
    }
    # What a kernel or locust executes is never imported.
    executed = {
        "mlgate/launcher/kernel_program.py": {"ipykernel", "traitlets"},
        "mlgate/load/example_user.py": {"gevent", "locust"},
        "mlgate/load/program.py": {"gevent", "locust"},
    }
    assert foreign == executed.get(name, set())
