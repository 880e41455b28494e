"""A process with Microsoft's worker code in it, which answers requests side by side."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ENVIRONMENT = Path(sys.prefix) / "functions"  # made by `make functions`
PATIENCE = 120  # seconds; the machine may be busy
PROGRAM = Path(__file__).with_name("microsoft_worker.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker says of a load or an invocation; `returned` is of an invocation by HTTP."""

    ok: bool
    message: str
    trace: str
    returned: Mapping[str, Any] | None = None


class WorkerProcess:
    """A context manager; `environment` is all that the process finds, PATH included.

    `log` gets what it writes to standard error.
    """

    def __init__(self, python: Path, app: Path, environment: Mapping[str, str], log: Path) -> None:
        self._command = (python, "-P", PROGRAM, ENVIRONMENT / "worker", app)
        self._environment = environment
        self._log = log
        self._numbers = itertools.count()
        self._writing = threading.Lock()
        self._asked: dict[int, Future[Answer]] = {}

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(map(str, self._command)),
                env=dict(self._environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: str, **arguments: object) -> Answer:
        """Several threads may, at the same time."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._asked[number] = Future()
        with self._writing:
            self._process.stdin.write(json.dumps({"id": number, request: arguments}) + "\n")
            self._process.stdin.flush()
        return answer.result(PATIENCE)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            self._asked.pop(told.pop("id")).set_result(Answer(**told))
        for answer in self._asked.values():
            answer.set_exception(AssertionError(f"the worker ended:\n{self._log.read_text()}"))
