"""A local handler with a home of its own, and no process left behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.local_handler.handler import LocalHandler
from handlers.local_handler.warm import Begun
from mlgate.orchestration.backends.keeping import MOST_BYTES
from mlgate.orchestration.runs import Attempt, Task
from tests.contract.bench import Bench as AnyBench
from tests.e2e.commands import processes_with

STUB = Path(__file__).with_name("stub_launcher.py")


class Bench(AnyBench[LocalHandler]):
    """One build on one home; its runs are those of a stub launcher, which executes the script."""

    command = "script.py"
    mark = "MLGATE_ATTEMPT"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.home = folder / "home"
        self.later = 0.0  # seconds that the machine was on meanwhile
        self._handlers: list[LocalHandler] = []
        self.handler = self.new_handler()

    def new_handler(
        self,
        *,
        parallel: int = 4,
        launcher: Path | None = STUB,
        on_ended: Callable[[Attempt], None] | None = None,
        grace_seconds: float = 1.0,
        python: Path = Path(sys.executable),
        most_bytes: int = MOST_BYTES,
        environment_seconds: float = 1800.0,
        begun: Begun | None = None,
    ) -> LocalHandler:
        """A handler as another worker on the same home would have it."""
        real: dict[str, Any] = {} if launcher is None else {"launcher": launcher}
        handler = LocalHandler(
            home=self.home,
            parallel=parallel,
            on_ended=on_ended,
            clock=self.clock,
            steady=lambda: time.monotonic() + self.later,
            grace_seconds=grace_seconds,
            python=python,
            most_bytes=most_bytes,
            environment_seconds=environment_seconds,
            begun=begun,
            **real,
        )
        self._handlers.append(handler)
        return handler

    def attempt_folder(self, task: Task) -> Path:
        return self.home / "attempts" / task.attempt.id

    def close(self) -> None:
        for path in (self.home / "attempts").glob("[!.]*"):
            (path / "cancel").touch()
        attempts = str(self.home / "attempts")  # of other builds as well
        try:
            self.until(
                lambda: not self.processes() and not processes_with(attempts),
                "the end of every process",
            )
        finally:
            for handler in self._handlers:
                handler.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def cold(bench: Bench) -> Bench:
    """Starts runs as programs, until it is told otherwise."""
    bench.handler = bench.new_handler(launcher=None, grace_seconds=20.0)
    return bench


@pytest.fixture
def warm(cold: Bench) -> Bench:
    """With a template that is ready."""
    warm_up(cold)
    return cold


def warm_up(bench: Bench) -> None:
    bench.handler.prewarm()
    settle(bench)


def settle(bench: Bench) -> None:
    """Wait until every template is ready."""
    bench.until(lambda: all(each.ready() for each in known(bench)), "the templates")


def known(bench: Bench) -> list[Begun]:
    return list(bench.handler._templates._templates.values())
