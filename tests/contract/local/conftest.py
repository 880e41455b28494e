"""A handler with a home of its own, commits made of given files, and no process left behind."""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.local_handler.handler import LocalHandler
from handlers.local_handler.warm import _Template
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.runs import Attempt, Observation, Outcome, RunKind, RunSpec, Task

STUB = Path(__file__).with_name("stub_launcher.py")
PATIENCE = 90.0  # seconds until a test gives up; never reached on a machine that is not stuck


@dataclass(frozen=True)
class FolderCheckout:
    """A clean tree, as the repository port would yield it."""

    commit: str
    folder: Path
    warnings: tuple[str, ...] = ()

    def files(self) -> Sequence[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()


@dataclass
class FolderFiles:
    """Build files in memory."""

    written: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def write(self, build: str, path: str, content: bytes) -> None:
        self.written[build, path] = content

    def copy(self, build: str, path: str, source: Path) -> None:
        self.written[build, path] = source.read_bytes()

    def read(self, build: str, path: str) -> bytes | None:
        return self.written.get((build, path))

    def list(self, build: str, prefix: str = "") -> list[str]:
        return sorted(p for b, p in self.written if b == build and p.startswith(prefix))

    def location(self, build: str) -> str:
        return build


class MovableClock:
    """The real time plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class Bench:
    """One build on one home, and the shortest ways to run something in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.build = secrets.token_hex(16)
        self.clock = MovableClock()
        self.files = FolderFiles()
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
    ) -> LocalHandler:
        """A handler as another worker on the same home would have it."""
        real = {} if launcher is None else {"launcher": launcher}
        handler = LocalHandler(
            home=self.home,
            parallel=parallel,
            on_ended=on_ended,
            clock=self.clock,
            grace_seconds=grace_seconds,
            python=python,
            **real,
        )
        self._handlers.append(handler)
        return handler

    def stage(self, files: Mapping[str, str | bytes], commit: str | None = None) -> str:
        folder = self.folder / f"checkout-{secrets.token_hex(4)}"
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            (folder / path).write_bytes(data)
        checkout = FolderCheckout(commit or secrets.token_hex(20), folder)
        snapshot = self.handler.stage(checkout, RepositoryRequest("https://example.org/r.git"), [])
        shutil.rmtree(folder)
        return snapshot

    def task(
        self,
        script: str = "",
        *,
        name: str = "train",
        number: int = 1,
        files: Mapping[str, str | bytes] | None = None,
        inputs: Mapping[str, Attempt] | None = None,
        **fields: Any,
    ) -> Task:
        """A run of the stub launcher that executes `script`."""
        snapshot = self.stage({"script.py": script, **(files or {})})
        given: dict[str, Any] = {"kind": RunKind.TRAINING, "command": "script.py"}
        spec = RunSpec(name=name, **(given | fields))
        return Task(Attempt(self.build, name, number), spec, snapshot, "4711", inputs or {})

    def see(self, task: Task) -> Observation:
        return self.handler.look([task.attempt])[task.attempt]

    def until(self, happened: Callable[[], object], what: str = "it") -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen"
            time.sleep(0.01)

    def ended(self, task: Task) -> Outcome:
        """The outcome, once it is there."""
        self.until(lambda: self.see(task).status.ended, "the end")
        return self.handler.collect(task, self.files)

    def run(self, task: Task) -> Outcome:
        assert self.handler.submit(task)
        return self.ended(task)

    def log(self, task: Task) -> str:
        return (
            self.files.read(task.attempt.build, f"runs/{task.spec.name}/log.txt") or b""
        ).decode()

    def attempt_folder(self, task: Task) -> Path:
        return self.home / "attempts" / task.attempt.id

    def processes(self) -> set[int]:
        """Every process that was started for an attempt of this build."""
        mark = f"MLGATE_ATTEMPT={self.build[:12]}".encode()
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.add(int(process.name))
            except OSError:
                continue
        return found

    def close(self) -> None:
        for path in (self.home / "attempts").glob("[!.]*"):
            (path / "cancel").touch()
        try:
            self.until(lambda: not self.processes(), "the end of every process")
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


def known(bench: Bench) -> list[_Template]:
    return list(bench.handler._templates._templates.values())
