"""The Pythons that execute runs: an installation's folders, and an environment on top of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
SOURCES = (_ROOT / "handlers", _ROOT / "mlgate")
_CONFIGURATION = "pyvenv.cfg"
# Executed by the Python beneath. The environment at argv[1] then finds its packages as well, after
# its own, and gets its scripts, with the environment's interpreter. /bin/sh starts that one,
# because the first line of a script may hold neither a long path nor one with spaces.
_LAY = """
import os, pathlib, sys
venv = pathlib.Path(sys.argv[1])
[packages] = venv.glob("lib/python*/site-packages")
names = "site-packages", "dist-packages"
beneath = [path for path in sys.path if os.path.basename(path) in names]
lines = [f"import site; site.addsitedir({path!r})\\n" for path in beneath]
(packages / "beneath.pth").write_text("".join(lines))
scripts = pathlib.Path(sys.executable).parent
start = f"#!/bin/sh\\n'''exec' \\"{venv}/bin/python\\" \\"$0\\" \\"$@\\"\\n' '''\\n".encode()
for script in scripts.iterdir():
    if (venv / "bin" / script.name).exists() or not script.is_file():
        continue
    with script.open("rb") as file:
        head = file.read(2)
        content = head + file.read() if head == b"#!" else b""
    first, _, rest = content.partition(b"\\n")
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec'"):
        first, rest = rest.split(b"\\n", 1)[0], rest.split(b"\\n", 2)[2]
    if str(scripts).encode() + b"/python" in first:
        (venv / "bin" / script.name).write_bytes(start + rest)
        (venv / "bin" / script.name).chmod(0o755)
"""


def is_venv(python: Path) -> bool:
    return (python.parent.parent / _CONFIGURATION).exists()


def folders(python: Path) -> list[Path]:
    """The folders that installing packages for this Python, or the one beneath it, writes to."""
    prefix = python.parent.parent
    if not is_venv(python):
        prefix = python.resolve().parent.parent
        return [*prefix.glob("lib/python3*"), *prefix.glob("local/lib/python3*"), prefix / "bin"]
    found = [prefix]
    for line in (prefix / _CONFIGURATION).read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home":
            found += folders(Path(value.strip(), "python3"))
    return found


def user_base(variables: Mapping[str, str]) -> Path:
    """The folder of the user's own packages, as site.getuserbase() finds it."""
    return Path(variables.get("HOME") or "/nowhere", ".local")


def lay(
    venv: Path, python: Path, uv: str, does: Callable[[Sequence[str], Mapping[str, str]], bool]
) -> Path | None:
    """Make a virtual environment that also finds the packages and scripts of another Python.

    Returns its interpreter, or None if it cannot be made. `does` runs a program with additional
    variables and returns whether it succeeded.
    """
    made = venv / "bin" / "python"
    empty = [uv, "venv", "--no-project", "--no-config", "--python", str(python), str(venv)]
    for command in (empty, [str(python), "-c", _LAY, str(venv)]):
        if not does(command, {"UV_PYTHON_DOWNLOADS": "never"}):
            return None
    return made


def variables_of(python: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that put `python` first on the path, as activating an environment does."""
    path = os.pathsep.join([str(python.parent), variables.get("PATH", os.defpath)])
    found = {"PATH": path, "UV_LINK_MODE": "copy"}  # else runs could write to uv's cache
    if is_venv(python):
        return found | {"VIRTUAL_ENV": str(python.parent.parent)}
    # Safe because the run installs only in its own view of this installation.
    return found | {
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "UV_BREAK_SYSTEM_PACKAGES": "1",
        "UV_SYSTEM_PYTHON": "1",
    }
