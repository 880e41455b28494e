"""Blob storage of its own for each test: Azurite, behind a relay that counts and fails to order.

And a store of either kind, as the processes of several hosts open it.
"""

from __future__ import annotations

import sqlite3
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from handlers.blobs.address import ContainerAddress
from handlers.blobs.container import Container
from handlers.files_handler.blobs import BlobFiles
from handlers.state_handler import SqliteState
from handlers.state_handler.blobs import BlobState
from mlgate.emulators.azure_ml import Azurite
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import StatePort
from tests.servers.blob_relay import BlobRelay, blob_relay
from tests.unit.orchestration.engine.twins import HandClock, World

RIGHT = timedelta(0)


@dataclass(frozen=True)
class WrongClock:
    """A host's clock that is `ahead` of the right one."""

    right: Clock
    ahead: timedelta

    def now(self) -> datetime:
        return self.right.now() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.right.sleep(seconds)


@dataclass
class Storage:
    """Containers of one test, and how a host opens them; each call is another process's."""

    relay: BlobRelay
    clock: HandClock
    name: str

    @property
    def address(self) -> ContainerAddress:
        return ContainerAddress.parse(self.relay.container(self.name))

    def container(
        self, address: ContainerAddress | None = None, clock: Clock | None = None
    ) -> Container:
        return Container(address or self.address, None, clock or self.clock)

    def state(self, ahead: timedelta = RIGHT) -> BlobState:
        clock = WrongClock(self.clock, ahead)
        secrets = self.container(self.address.secrets(), clock)
        return BlobState(self.container(clock=clock), secrets, clock)

    def files(self) -> BlobFiles:
        return BlobFiles(self.container())

    def later(self, seconds: float) -> None:
        """Time passes, by the storage's clock and everybody's."""
        self.clock.time += timedelta(seconds=seconds)
        self.relay.later += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def relay(azurite: Azurite) -> Iterator[BlobRelay]:
    with blob_relay(azurite) as running:
        yield running


@pytest.fixture
def storage(relay: BlobRelay, clock: HandClock) -> Iterator[Storage]:
    relay.counted()
    relay.later = RIGHT
    yield Storage(relay, clock, f"state-{uuid.uuid4().hex[:12]}")
    relay.revive()


class Store(Protocol):
    """A store as tests look into it."""

    def state(self, ahead: timedelta = RIGHT) -> StatePort:
        """As another process opens it, on a host whose clock is wrong."""
        ...

    def later(self, seconds: float) -> None: ...

    def head(self, key: str) -> bytes:
        """The record without its parts."""
        ...

    def put_head(self, key: str, head: bytes) -> None: ...

    def parts(self, key: str) -> Mapping[str, bytes]:
        """As they lie there."""
        ...

    def put_rejection(self, key: str, text: str) -> None: ...

    def moved(self, key: str, act: Callable[[], object]) -> int:
        """How many bytes go to and from the store while `act` loads the build once and saves it as
        often as it likes; no part is to be read."""
        ...


@dataclass
class SqliteStore:
    path: Path
    clock: HandClock

    def state(self, ahead: timedelta = RIGHT) -> SqliteState:
        return SqliteState(self.path, WrongClock(self.clock, ahead))

    def later(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)

    def head(self, key: str) -> bytes:
        [(body,)] = self._asked("SELECT body FROM builds WHERE key = ?", key)
        return str(body).encode()

    def put_head(self, key: str, head: bytes) -> None:
        change = "UPDATE builds SET body = ?, version = version + 1 WHERE key = ?"
        self._asked(change, head.decode(), key)

    def parts(self, key: str) -> Mapping[str, bytes]:
        rows = self._asked("SELECT name, body FROM parts WHERE key = ?", key)
        return {str(name): bytes(body) for name, body in rows}  # type: ignore[call-overload]  # rows of SQLite have no types

    def put_rejection(self, key: str, text: str) -> None:
        self._asked("INSERT INTO rejections VALUES (?, '9', ?)", key, text)

    def moved(self, key: str, act: Callable[[], object]) -> int:
        log = "INSERT INTO moved VALUES (length(new.body))"
        self._asked("CREATE TABLE moved (bytes)")
        self._asked(f"CREATE TRIGGER a AFTER UPDATE OF body ON builds BEGIN {log}; END")
        self._asked(f"CREATE TRIGGER b AFTER INSERT ON parts BEGIN {log}; END")
        read = len(self.head(key))
        # Whoever wants to read a part does not find the names.
        self._asked("UPDATE parts SET name = 'hidden ' || name")
        act()
        self._asked("UPDATE parts SET name = substr(name, 8)")
        [(written,)] = self._asked("SELECT sum(bytes) FROM moved")
        return read + int(str(written))

    def _asked(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as db, db:
            return db.execute(sql, values).fetchall()


@dataclass
class BlobStore:
    storage: Storage

    def state(self, ahead: timedelta = RIGHT) -> BlobState:
        return self.storage.state(ahead)

    def later(self, seconds: float) -> None:
        self.storage.later(seconds)

    def head(self, key: str) -> bytes:
        return self._read(f"builds/{key}")

    def put_head(self, key: str, head: bytes) -> None:
        self.storage.container().put(f"builds/{key}", head)

    def parts(self, key: str) -> Mapping[str, bytes]:
        names = self.storage.container().names(f"parts/{key}/")
        return {name.rpartition("/")[2]: self._read(name) for name in names}

    def put_rejection(self, key: str, text: str) -> None:
        self.storage.container().put(f"rejections/{key}", text.encode())
        self.storage.container().put(f"rejected/{0:015d}-{key}", b"")

    def moved(self, key: str, act: Callable[[], object]) -> int:
        self.storage.relay.counted()
        act()
        moved = self.storage.relay.moved
        assert self.storage.relay.counted()["GET parts"] == 0
        return moved

    def _read(self, name: str) -> bytes:
        found = self.storage.container().read(name)
        assert found is not None
        return found.content


@pytest.fixture(params=["sqlite", "blobs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Store:
    if request.param == "blobs":
        return BlobStore(request.getfixturevalue("storage"))
    return SqliteStore(tmp_path / "state.db", clock)


def text_of(part: bytes) -> str:
    return zlib.decompress(part).decode()


class BlobWorld(World):
    """A conductor among twins, whose state is in blobs."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage.clock)
        self.blobs = storage.state()
        self.state = self.blobs
        storage.container().check()
        storage.container(storage.address.secrets()).check()
        storage.relay.counted()


@pytest.fixture
def world(tmp_path: Path, storage: Storage) -> BlobWorld:
    return BlobWorld(tmp_path, storage)
