"""A build on a backend, whichever it is, and the shortest ways to run something in it."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.ports import BackendPort
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunKind, RunSpec, Task
from tests.contract.twins import FolderCheckout, MovableClock
from tests.support.memory import MemoryFiles

PATIENCE = 90.0  # seconds until a test gives up; never reached on a machine that is not stuck
FOREVER = "import time\nwhile True: time.sleep(0.05)\n"
COMMIT = "c" * 40  # as runs are told; the bench gives each staged tree one of its own

Files = Mapping[str, str | bytes]
Handler = TypeVar("Handler", bound=BackendPort)


class Bench(Generic[Handler]):
    """The build and its files; `handler` is the backend as one worker has it.

    `command` executes script.py; `mark` is a variable of every process of an attempt, with its id.
    """

    handler: Handler
    command = "python script.py"
    mark: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.build = secrets.token_hex(16)
        self.clock = MovableClock()
        self.files = MemoryFiles()

    def stage(self, files: Files, commit: str | None = None, runs: Sequence[RunSpec] = ()) -> str:
        folder = self._written(files)
        checkout = FolderCheckout(commit or secrets.token_hex(20), folder)
        request = RepositoryRequest("https://example.org/r.git")
        snapshot = self.handler.stage(checkout, request, runs)
        shutil.rmtree(folder)
        return snapshot

    def stage_model(self, version: str, files: Files) -> str:
        """Stage a version's files as the conductor does, which keeps none of them."""
        folder = self._written(files)
        word = self.handler.stage_model(version, folder)
        shutil.rmtree(folder)
        return word

    def _written(self, files: Files) -> Path:
        folder = self.folder / f"given-{secrets.token_hex(4)}"
        folder.mkdir()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            (folder / path).write_bytes(data)
            if data.startswith(b"#!"):
                (folder / path).chmod(0o755)
        return folder

    def task(
        self,
        script: str = "",
        *,
        name: str = "train",
        number: int = 1,
        files: Files | None = None,
        inputs: Mapping[str, Attempt] | None = None,
        **fields: object,
    ) -> Task:
        """A training that executes `script`."""
        needs = inputs or {}
        given = {"kind": RunKind.TRAINING, "command": self.command, "needs": tuple(needs)}
        spec = RunSpec(name=name, **(given | fields))  # type: ignore[arg-type] # as each test says
        snapshot = self.stage({"script.py": script, **(files or {})}, runs=[spec])
        return Task(Attempt(self.build, name, number), spec, snapshot, "4711", needs, commit=COMMIT)

    def notebook(
        self,
        *cells: str,
        name: str = "a",
        tags: Mapping[int, str] | None = None,
        files: Files | None = None,
        inputs: Mapping[str, Attempt] | None = None,
        **fields: object,
    ) -> Task:
        """A run of the notebook nb/a.ipynb with these code cells, in its folder."""
        given = {"kind": RunKind.NOTEBOOK, "path": "nb/a.ipynb", "directory": "nb", "command": None}
        every = {"nb/a.ipynb": notebook(*cells, tags=tags), **(files or {})}
        return self.task(name=name, files=every, inputs=inputs, **(given | fields))  # type: ignore[arg-type] # as each test says

    def processes(self) -> set[int]:
        """Every process that was started for an attempt of this build."""
        mark = f"{self.mark}={self.build[:12]}".encode()
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.add(int(process.name))
            except OSError:
                continue
        return found

    def see(self, task: Task) -> Observation:
        return self.handler.look([task.attempt])[task.attempt]

    def until(self, happened: Callable[[], object], what: str = "it") -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen"
            time.sleep(0.01)

    def waits(self) -> str:
        """Code that goes on for ever once `begun` has seen it."""
        return f"open({str(self.folder / 'begun')!r}, 'w').close()\n{FOREVER}"

    def begun(self, task: Task) -> None:
        """Submit a run of `waits`, until it is there."""
        assert self.handler.submit(task)
        self.until((self.folder / "begun").exists, "the beginning")

    def ended(self, task: Task) -> Outcome:
        """The outcome, once it is there."""
        self.until(lambda: self.see(task).status.ended, "the end")
        return self.handler.collect(task, self.files)

    def run(self, task: Task) -> Outcome:
        assert self.handler.submit(task)
        return self.ended(task)

    def left(self, task: Task, path: str) -> str:
        """The text of one of the run's files; empty when there is none."""
        found = self.files.read(self.build, f"runs/{task.spec.name}/{path}")
        return (found or b"").decode()

    def log(self, task: Task) -> str:
        return self.left(task, "log.txt")


def notebook(*cells: str, tags: Mapping[int, str] | None = None) -> str:
    """A notebook of these code cells; `tags` by position from 1."""
    listed = [
        {"cell_type": "code", "id": f"c{number}", "outputs": [], "source": source}
        | {"metadata": {"tags": [(tags or {})[number]]} if number in (tags or {}) else {}}
        | {"execution_count": None}
        for number, source in enumerate(cells, 1)
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": listed})
