"""Starts the launcher as a backend does: by path, in a process of its own, with real kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from mlgate.launcher.archive import archive

v4: Any = nbformat.v4  # without types
LIMIT = 180  # seconds, generous: the machine may be busy


def put_launcher(folder: Path) -> Path:
    """The launcher as it travels, beside whatever else is in the folder."""
    path = folder / "launcher.pyz"
    path.write_bytes(archive())
    return path


def code(source: str, *tags: str) -> Any:
    metadata = {"tags": list(tags)} if tags else {}
    return v4.new_code_cell(source, metadata=metadata)


def markdown(source: str) -> Any:
    return v4.new_markdown_cell(source)


def notebook(*cells: Any, **metadata: Any) -> Any:
    """A notebook of the given cells, where text stands for a code cell; it asks for `python3`."""
    metadata = metadata or {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    cells = tuple(code(cell) if isinstance(cell, str) else cell for cell in cells)
    return v4.new_notebook(cells=list(cells), metadata=metadata)


class Run:
    """One run of the launcher, and what it left."""

    def __init__(
        self,
        folder: Path,
        task: Mapping[str, Any],
        environment: Mapping[str, str],
        python: Path = Path(sys.executable),
        options: Sequence[str] = (),
        launcher: Path | None = None,
    ) -> None:
        self.root, self.output, self.events_file = folder / "root", folder / "output", folder / "ev"
        fields = {"version": 1, "name": "run", "kind": "notebook", "path": "notebook.ipynb"}
        arguments = ["--task", json.dumps({**fields, **task}), "--root", str(self.root)]
        arguments += ["--output", str(self.output), "--events", str(self.events_file)]
        self.process = subprocess.Popen(
            [str(python), str(launcher or put_launcher(folder)), *arguments, *options],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> Run:
        try:
            self.printed, _ = self.process.communicate(timeout=LIMIT)
        finally:
            self.process.kill()
        return self

    def wait_for(self, condition: Callable[[Run], Any]) -> None:
        """Until something is seen of the run while it goes on."""
        deadline = time.monotonic() + LIMIT
        while not condition(self):
            assert time.monotonic() < deadline, "it never came to that"
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)

    @property
    def exit_code(self) -> int:
        return self.process.wait(LIMIT)

    @property
    def outcome(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / "outcome.json").read_text())
        return content

    @property
    def failure(self) -> dict[str, Any]:
        failure: dict[str, Any] = self.outcome["failure"]
        return failure

    @property
    def log(self) -> str:
        path = self.output / "log.txt"
        return path.read_text("utf-8") if path.exists() else ""

    @property
    def html(self) -> str:
        return (self.output / "executed.html").read_text("utf-8")

    @property
    def cells(self) -> Sequence[Any]:
        """The code cells of the executed notebook."""
        executed = v4.reads((self.output / "executed.ipynb").read_text("utf-8"))
        return [cell for cell in executed.cells if cell.cell_type == "code"]

    @property
    def statuses(self) -> list[str]:
        return [cell.metadata.mlgate.status for cell in self.cells if "mlgate" in cell.metadata]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events_file.read_text().splitlines()]


Start = Callable[..., Run]
