"""A host with one build, whose processes are killed at any of their effects.

    python -m tests.contract.handlers.models_handler.promoting_host

Each line of its input is a `Life`, for which a process is forked off; for each a line says how that
one ended: its exit code, or the signal that it died of as a negative number. What a process leaves
lies in the life's folder, where the next one goes on: the state, the files, the queue's messages,
and lines of what the pipeline and the backend were told. Time is `Life.at` and what is waited for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from handlers.models_handler import Answering, Folder, ModelStore
from handlers.models_handler.disk import Disk
from handlers.state_handler import SqliteState
from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.builds import Build, Phase, PipelineAddress
from mlgate.orchestration.durable import NOW, Envelope, Stored
from mlgate.orchestration.models import Manifest
from mlgate.orchestration.runs import Task
from mlgate.orchestration.telling import Completion
from tests.contract.handlers.models_handler.disks import Smb
from tests.contract.handlers.models_handler.places import opened
from tests.contract.handlers.models_handler.some import FILES, MODEL, manifest_for
from tests.support.memory import MemoryService
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.twins import (
    COLLECTION,
    BackendTwin,
    HandClock,
    PipelineTwin,
    QueueTwin,
    World,
)

TRAIN = {"name": "train", "command": "python train.py", "outputs": ["outputs/**"]}
RUNS = ["train", f"check-{MODEL}"]
SERVER = "https://churn.example.net"
MOST_MESSAGES = 200


@dataclass(frozen=True)
class Life:
    """One process: until the build's runs have been submitted or, `to_end`, until it is over.

    `size` is that of the model's largest file, in bytes. The process is killed `before` or `after`
    the effect number `killed_at`, from 1, that it has once its build is promoting.
    """

    folder: str
    where: str
    size: int
    to_end: bool = True
    at: float = 0  # seconds after noon
    killed_at: int = 0
    when: str = ""
    served: str = ""  # "well" or "badly", where the build wants to see it served


class Effects:
    def __init__(self, life: Life) -> None:
        self._life = life
        self._count = 0
        self.counted = False

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += self.counted
        ours = self.counted and self._count == self._life.killed_at
        if ours and self._life.when == "before":
            _die()
        try:
            yield
        finally:
            if ours and self._life.when == "after":
                _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingDisk(Disk):
    """`disk`, whose clock is the host's. What is written gets there in two halves."""

    def __init__(self, disk: Disk, effects: Effects, clock: HandClock) -> None:
        self._disk, self._effects, self._clock = disk, effects, clock

    def create(self, path: Path) -> int:
        with self._effects.one():
            descriptor = self._disk.create(path)
            self._stamp(descriptor)
            return descriptor

    def write(self, descriptor: int, content: bytes) -> None:
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            with self._effects.one():
                self._disk.write(descriptor, part)
                self._stamp(descriptor)

    def close(self, descriptor: int) -> None:
        with self._effects.one():
            self._disk.close(descriptor)

    def open(self, path: Path) -> int | None:
        return self._disk.open(path)

    def read(self, descriptor: int) -> bytes:
        return self._disk.read(descriptor)

    def link(self, path: Path, to: Path) -> None:
        with self._effects.one():
            self._disk.link(path, to)

    def rename(self, path: Path, to: Path) -> None:
        with self._effects.one():
            self._disk.rename(path, to)

    def unlink(self, path: Path) -> None:
        with self._effects.one():
            self._disk.unlink(path)

    def sync(self, folder: Path) -> None:
        with self._effects.one():  # a folder may have been made just before
            self._disk.sync(folder)

    def _stamp(self, descriptor: int) -> None:
        os.utime(descriptor, (self._clock.time.timestamp(),) * 2)


class DyingState(SqliteState):
    """Effects count from the save on with which the build is promoting."""

    def __init__(self, path: Path, clock: HandClock, effects: Effects) -> None:
        super().__init__(path, clock)
        self._effects = effects

    def save(self, build: Build, version: str) -> Stored | None:
        self._effects.counted |= build.phase in (Phase.PROMOTING, Phase.COMPLETING)
        with self._effects.one():
            return super().save(build, version)

    def forget_token(self, key: str) -> None:
        with self._effects.one():
            super().forget_token(key)


class Journal:
    """Lines that outlive whoever writes them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[Any]:
        found = self._path.read_text().splitlines() if self._path.exists() else []
        return [json.loads(line) for line in found]

    def add(self, line: object) -> None:
        with self._path.open("a") as file:
            file.write(f"{json.dumps(line)}\n")


def told(folder: Path) -> Journal:
    return Journal(folder / "told")


def submitted(folder: Path) -> Journal:
    return Journal(folder / "submitted")


class DurableBackend(BackendTwin):
    def __init__(self, kept: dict[str, dict[str, bytes]], journal: Journal) -> None:
        super().__init__(kept=kept)
        self._journal = journal

    def submit(self, task: Task) -> bool:
        self._journal.add(task.attempt.run)
        return super().submit(task)


class DurablePipeline(PipelineTwin):
    """A step that, in doubt, is asked what it was told."""

    def __init__(self, journal: Journal, effects: Effects) -> None:
        super().__init__(waiting=not journal.lines())
        self._journal, self._effects = journal, effects

    def complete(
        self,
        address: PipelineAddress,
        token: SecretStr,
        completion: Completion,
        *,
        doubt: bool = False,
    ) -> None:
        if doubt and self._journal.lines():
            return
        with self._effects.one():
            said = {"verdict": completion.verdict, "variables": dict(completion.variables)}
            self._journal.add(said)
            super().complete(address, token, completion, doubt=doubt)


class DurableQueue(QueueTwin):
    """A message is gone once it was handled, and comes again as long as it was not."""

    def __init__(self, folder: Path, clock: HandClock) -> None:
        super().__init__(clock)
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def send(self, body: bytes, message_id: str, pause: timedelta = NOW) -> None:
        at = (self.clock.time + pause).isoformat()
        self._put(message_id, {"at": at, "body": body.decode(), "deliveries": 0})

    def received(self) -> Envelope | None:
        """What is due first, delivered once more; moves time on to then."""
        found = [(json.loads(path.read_text()), path.name) for path in self._folder.glob("[!.]*")]
        if not found:
            return None
        message, name = min(found, key=lambda each: (each[0]["at"], each[1]))
        message["deliveries"] += 1
        self._put(name, message)
        at = datetime.fromisoformat(message["at"])
        self.clock.time = max(self.clock.time, at)
        return Envelope(message["body"].encode(), {}, name, message["deliveries"], at)

    def handled(self, envelope: Envelope) -> None:
        (self._folder / envelope.message_id).unlink()

    def _put(self, name: str, message: Mapping[str, object]) -> None:
        aside = self._folder / ".aside"
        aside.write_text(json.dumps(message))
        aside.replace(self._folder / name)


class Host(World):
    """What one process opens."""

    def __init__(self, life: Life) -> None:
        folder, effects = Path(life.folder), Effects(life)
        super().__init__(folder)
        self.clock.time = NOON + timedelta(seconds=life.at)
        self.messages = DurableQueue(folder / "queue", self.clock)
        self.queue = self.messages
        self.state = DyingState(folder / "state.db", self.clock, effects)
        self.models = self._store(life.where, effects)
        self.pipeline = DurablePipeline(told(folder), effects)
        self.backend = DurableBackend(_kept(life.size), submitted(folder))
        allowed = AllowedModel.parse(f"{MODEL}={COLLECTION}")
        self.policy = replace(
            self.policy, models=ModelPolicy((allowed,), keep=1, services=(SERVER,))
        )
        bad = {offered(life.size).id: "held back: it is wrong."} if life.served == "badly" else {}
        self.service = MemoryService(lambda: self.models, MODEL, bad=bad)
        self.promote = {"model": MODEL, **({"verify": {"url": SERVER}} if life.served else {})}

    def _store(self, where: str, effects: Effects) -> ModelStore:
        kind, _, place = where.partition(" ")
        if kind == "container":
            return opened(where)
        disk = DyingDisk(Smb() if kind == "smb" else Disk(), effects, self.clock)
        return ModelStore(Answering(Folder(Path(place), disk=disk)))

    def live(self, *, to_end: bool) -> None:
        if not self.state.builds():
            assert self.start(TRAIN, promote=self.promote)
        for _ in range(MOST_MESSAGES):
            envelope = self.messages.received()
            if envelope is None:
                return
            assert self.conductor.handle(envelope) is None
            self.messages.handled(envelope)
            [build] = self.state.builds()
            if not to_end and build.runs and all(run.submitted for run in build.runs):
                return
        raise AssertionError("still busy")


def files(size: int) -> dict[str, bytes]:
    """Those of the version that the build offers."""
    return {**FILES, "data/model.bin": b"weights\n" * (size // 8)}


def offered(size: int) -> Manifest:
    return replace(manifest_for(files(size)), example=[[1.0]])


def _kept(size: int) -> dict[str, dict[str, bytes]]:
    record = {**json.loads(offered(size).content), "folder": "outputs"}
    train, check = RUNS
    return {
        train: {f"outputs/{path}": content for path, content in files(size).items()},
        check: {"outputs/model.json": json.dumps(record).encode()},
    }


def pid_of(life: Life) -> int:
    return int((Path(life.folder) / "pid").read_text())


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _lived(Life(**json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 -- its answer


def _lived(life: Life) -> None:
    try:
        (Path(life.folder) / "pid").write_text(f"{os.getpid()}")
        Host(life).live(to_end=life.to_end)
        os._exit(0)
    except BaseException:  # noqa: BLE001 -- said, and the process ends
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
