"""The places that a store is tried in, as tests and other processes open them."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from handlers.blobs.address import ContainerAddress
from handlers.blobs.container import Container
from handlers.models_handler import Answering, Folder, ModelStore
from handlers.models_handler.container import InContainer
from handlers.models_handler.disk import Disk
from handlers.models_handler.store import VOID_AFTER
from tests.contract.handlers.models_handler.disks import Smb, Watched
from tests.contract.twins import MovableClock
from tests.servers.blob_relay import BlobRelay


def opened(where: str, void_after: timedelta = VOID_AFTER) -> ModelStore:
    """A store of its own, in any process, from what `Place.where` says."""
    kind, _, place = where.partition(" ")
    if kind == "container":
        address = ContainerAddress.parse(place)
        return ModelStore(InContainer(Container(address, None, MovableClock())), void_after)
    disk = Smb() if kind == "smb" else Disk()
    return ModelStore(Answering(Folder(Path(place), disk=disk)), void_after)


class Place(Protocol):
    where: str

    def open(self) -> ModelStore:
        """As another process opens it."""
        ...

    def put(self, name: str, content: bytes, age: float = 0) -> None:
        """Whatever was there; written so many seconds ago."""
        ...

    def get(self, name: str) -> bytes | None: ...

    def names(self) -> list[str]: ...

    def requests(self) -> Counter[str]:
        """What was asked of the place since the last time, by all that `open` returned; looks at a
        folder's mark are named so."""
        ...


@dataclass
class OnDisk:
    root: Path
    disk: Disk
    watched: list[Watched] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{'smb' if isinstance(self.disk, Smb) else 'disk'} {self.root}"

    def open(self) -> ModelStore:
        self.watched.append(Watched(self.disk))
        return ModelStore(Answering(Folder(self.root, disk=self.watched[-1])))

    def put(self, name: str, content: bytes, age: float = 0) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        os.utime(path, (time.time() - age,) * 2)

    def get(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    def names(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def requests(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for each in self.watched:
            found += each.asked
            each.asked = Counter()
        # What goes to a share: a name looked up, made or linked.
        return Counter({call: found[call] for call in _REQUESTS if found[call]})


_REQUESTS = ("open mark", "open", "create", "link", "rename")


@dataclass
class InBlobs:
    relay: BlobRelay
    name: str

    @property
    def where(self) -> str:
        return f"container {self.relay.container(self.name)}"

    def open(self) -> ModelStore:
        return opened(self.where)

    def put(self, name: str, content: bytes, age: float = 0) -> None:
        self.container().put(name, content)
        self.relay.later += timedelta(seconds=age)

    def get(self, name: str) -> bytes | None:
        found = self.container().read(name)
        return None if found is None else found.content

    def names(self) -> list[str]:
        return self.container().names("")

    def requests(self) -> Counter[str]:
        return self.relay.counted()

    def container(self) -> Container:
        return Container(
            ContainerAddress.parse(self.relay.container(self.name)), None, MovableClock()
        )
