"""The installed `mlgate` program, and small repositories for it, as a user would have them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

MLGATE = Path(sys.executable).parent / "mlgate"
PATIENCE = 300  # seconds; the machine may be busy
_EXITING = 0x4  # PF_EXITING of include/linux/sched.h


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str
    output: Path

    @property
    def result(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.output / "result.json").read_text())
        return loaded

    def run(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(run for run in self.result["runs"] if run["name"] == name)
        return found


def notebook(
    path: Path, *cells: str, tags: Mapping[int, str] | None = None, **metadata: Any
) -> None:
    """Write a notebook of these code cells; `tags` by position from 1."""
    made = nbformat.v4.new_notebook()
    made.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, **metadata}
    for number, source in enumerate(cells, 1):
        cell = nbformat.v4.new_code_cell(source)
        if tags and number in tags:
            cell.metadata["tags"] = [tags[number]]
        made.cells.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)


def commit(folder: Path) -> str:
    """Make the folder a repository with one commit of all in it; returns the SHA."""
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return head.stdout.strip()


def message(
    folder: Path,
    repository: Path | str | Mapping[str, Any],
    *runs: Mapping[str, Any],
    **fields: Any,
) -> Path:
    """Write a message that runs these of the repository."""
    path = folder / "message.json"
    named = repository if isinstance(repository, Mapping) else {"url": str(repository)}
    content = {"version": 1, "repository": named, "runs": runs, **fields}
    path.write_text(json.dumps(content))
    return path


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a user's shell has, with a home that holds nothing."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLGATE_", "serviceBus", "GIT_", "PYTEST_"))
    }
    # The packages that environments are made of are kept over tests and machines' homes.
    kept.setdefault("UV_CACHE_DIR", str(Path("~/.cache/uv").expanduser()))
    return {**kept, "HOME": str(home), **more}


def start(folder: Path, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(MLGATE), *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_no_slip(err: str) -> None:
    """`mlgate run` is its own pipeline, a strict one, which says what it would have minded."""
    assert "a strict pipeline would mind" not in err, err


def mlgate(folder: Path, *arguments: str | Path, **more: str) -> Done:
    """Run a command to its end in `folder`; its files go to `folder/output`."""
    process = start(folder, *arguments, **more)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"mlgate {arguments} did not end\n{out}\n{err}") from None
    assert_no_slip(err)
    return Done(process.returncode, out, err, folder / "output")


def run(folder: Path, message_file: Path, *more: str) -> Done:
    return mlgate(folder, "run", message_file, "--output", "output", *more)


def processes_with(text: str) -> Sequence[int]:
    """Processes whose command line or environment holds `text`, but for those already killed."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            told = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in told and int(place.name) != os.getpid() and not _is_killed(place):
            found.append(int(place.name))
    return found


def _is_killed(place: Path) -> bool:
    """Whether SIGKILL is on its way to the process, or it is exiting (proc(5): stat, status)."""
    try:
        flags = int((place / "stat").read_text().rpartition(")")[2].split()[6])
        status = (place / "status").read_text().splitlines()
    except OSError:
        return True
    pending = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    return bool(flags & _EXITING) or any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending)
