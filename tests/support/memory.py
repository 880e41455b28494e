"""Ports in memory, for tests that simulate days: held to their contracts as every other one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from mlgate.orchestration.builds import Build
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import Due, Head, ModelsPort, Rejection, Stored
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Entry, Manifest, entry_of
from mlgate.orchestration.ports import READ_LIMIT, Answered, Health


@dataclass
class MemoryState:
    """`StatePort`; `clock` is the store's own, whatever the hosts' clocks say."""

    clock: Clock
    stored: dict[str, Stored] = field(default_factory=dict)
    dues: dict[str, Due] = field(default_factory=dict)
    tokens: dict[str, SecretStr] = field(default_factory=dict)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    rejected: dict[str, Rejection] = field(default_factory=dict)
    versions: int = 0

    def create(self, build: Build, token: SecretStr | None) -> bool:
        known = self.stored.get(build.key)
        if token is not None and (known is None or known.build.open):
            self.tokens.setdefault(build.key, token)
        if known is not None:
            return False
        self._put(build)
        self.dues[build.key] = Due(build.key, build.received_at)
        return True

    def load(self, key: str) -> Stored | None:
        return self.stored.get(key)

    def save(self, build: Build, version: str) -> Stored | None:
        known = self.stored.get(build.key)
        if known is None or known.version != version:
            return None
        if not build.open:
            self.dues.pop(build.key, None)
        return self._put(build)

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        now = self.clock.now()
        holder, until = self.leases.get(key, (owner, now))
        if holder != owner and until > now:
            return False
        self.leases[key] = (owner, now + timedelta(seconds=seconds))
        return True

    def release(self, key: str, owner: str) -> None:
        if self.leases.get(key, ("", None))[0] == owner:
            del self.leases[key]

    def due(self) -> list[Due]:
        return sorted(self.dues.values(), key=lambda due: due.at)

    def set_due(self, due: Due) -> None:
        known = self.stored.get(due.key)
        if known is not None and known.build.open:
            self.dues[due.key] = due

    def builds(self, limit: int = 100) -> list[Build]:
        found = [each.build for each in self.stored.values()]
        return sorted(found, key=lambda build: build.received_at, reverse=True)[:limit]

    def history(
        self, limit: int, without: Container[str] = ()
    ) -> Iterator[tuple[str, Build | None]]:
        ended = [build for build in self.builds(len(self.stored)) if not build.open]
        return ((build.key, build) for build in ended[:limit] if build.key not in without)

    def token(self, key: str) -> SecretStr | None:
        return self.tokens.get(key)

    def forget_token(self, key: str) -> None:
        self.tokens.pop(key, None)

    def reject(self, rejection: Rejection) -> None:
        self.rejected[rejection.key] = rejection

    def rejection(self, key: str) -> Rejection | None:
        return self.rejected.get(key)

    def rejections(self, limit: int = 100) -> list[Rejection]:
        found = sorted(self.rejected.values(), key=lambda each: each.received_at, reverse=True)
        return found[:limit]

    def _put(self, build: Build) -> Stored:
        self.versions += 1
        stored = Stored(replace(build), str(self.versions))
        self.stored[build.key] = stored
        return stored


@dataclass
class MemoryFiles:
    """`BuildFiles`."""

    written: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        whole = content if isinstance(content, bytes) else b"".join(content)
        self.written[build, path] = whole

    def copy(self, build: str, path: str, source: Path) -> None:
        self.written[build, path] = source.read_bytes()

    def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
        content = self.written.get((build, path))
        return None if content is None or len(content) > most else content

    def parts(self, build: str, path: str) -> Iterator[bytes]:
        if (build, path) not in self.written:
            raise Permanent(f"There is no {path}.")
        yield self.written[build, path]

    def tail(self, build: str, path: str, most: int) -> bytes:
        return self.written.get((build, path), b"")[-most:]

    def list(self, build: str, folder: str = "") -> list[str]:
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        return sorted(
            path for key, path in self.written if key == build and path.startswith(prefix)
        )

    def location(self, build: str) -> str:
        return f"memory:{build}"


@dataclass
class MemoryModels:
    """`ModelsPort`. One that opens another's `kept` and `logs` is another host's."""

    location: str = "memory:models"
    logs: dict[str, dict[int, bytes]] = field(default_factory=dict)
    kept: dict[tuple[str, str], tuple[Manifest, dict[str, bytes]]] = field(default_factory=dict)

    def models(self) -> list[str]:
        return sorted(self.logs)

    def head(self, model: str) -> Head:
        taken = max(self.logs.get(model, {}), default=0)
        return Head(next(self.log(model), None), taken)

    def entry(self, model: str, number: int) -> Entry | None:
        return entry_of(self.logs.get(model, {}).get(number, b""))

    def log(self, model: str) -> Iterator[Entry]:
        for number in sorted(self.logs.get(model, {}), reverse=True):
            if (entry := self.entry(model, number)) is not None:
                yield entry

    def append(self, entry: Entry) -> bool:
        log, head = self.logs.setdefault(entry.model, {}), self.head(entry.model)
        current = head.entry.id if head.entry else None
        if head.taken == entry.number - 1 and entry.replaces == current:
            log[entry.number] = entry.content
        if head.taken < entry.number - 1:
            raise Permanent(f"There is no entry {entry.number - 1}.")
        return log.get(entry.number) == entry.content

    def void(self, model: str, number: int) -> None:
        self.logs.setdefault(model, {}).setdefault(number, b"")

    def keep(self, model: str, manifest: Manifest, parts: Callable[[str], Iterable[bytes]]) -> None:
        files = {}
        for file in manifest.files:
            files[file.path] = content = b"".join(parts(file.path))
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise Permanent(f"{file.path} differs.")
        self.kept.setdefault((model, manifest.id), (manifest, files))[1].update(files)

    def versions(self, model: str) -> list[str]:
        return sorted(
            version for (name, version), (_, files) in self.kept.items() if name == model and files
        )

    def manifest(self, model: str, version: str) -> Manifest | None:
        found = self.kept.get((model, version))
        return None if found is None else found[0]

    def missing(self, model: str, version: str) -> list[str]:
        found = self.kept.get((model, version))
        if found is None:
            raise Permanent(f"There is no version {version} of {model}.")
        return [file.path for file in found[0].files if file.path not in found[1]]

    def fetch(self, model: str, version: str, folder: Path) -> None:
        if missing := self.missing(model, version):
            raise Permanent(f"{missing[0]} is not there.")
        for path, content in self.kept[model, version][1].items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    @contextmanager
    def fetched(self, model: str, version: str) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            self.fetch(model, version, Path(folder))
            yield Path(folder)

    def damaged(self, model: str, version: str) -> list[str]:
        return self.missing(model, version)

    def drop_files(self, model: str, version: str) -> None:
        if (model, version) in self.kept:
            self.kept[model, version][1].clear()


@dataclass
class MemoryService:
    """`ServicePort`: a server that follows a model's log, `behind` so many looks at it.

    `bad` says what is wrong with some versions, by id: they are held back where it begins with
    "held back", else they answer wrongly. `down`: nothing answers.
    """

    models: Callable[[], ModelsPort]
    model: str = "churn"
    behind: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    down: bool = False
    passing: bool = False  # what is held back is tried again
    served: Entry | None = None
    held: Entry | None = None
    looks: int = 0
    answers: int = 0

    def health(self, url: str) -> Health:
        self._follow()
        held = None if self.held is None else (self.held.number, self.bad[self.held.id])
        status = ("loading" if self.passing else "held_back") if held else "ok"
        if self.served is None:
            return Health(status if held else "no_model", self.model, held_back=held)
        return Health(status, self.model, self.served.id, self.served.number, held)

    def answer(self, url: str, version: Manifest) -> Answered:
        if self.down or self.served is None:
            raise Temporary("The server does not answer.")
        self.answers += 1
        name = f"{self.model}@{self.served.id}"
        return Answered(self.served.number, name, self.bad.get(self.served.id))

    def _follow(self) -> None:
        if self.down:
            raise Temporary("The server does not answer.")
        head = self.models().head(self.model).entry
        if head is None or (self.served is not None and head.number == self.served.number):
            self.held = None
            return
        self.looks += 1
        if self.looks <= self.behind and self.served is not None:
            return
        self.looks = 0
        if self.bad.get(head.id, "").startswith("held back"):
            self.held = head
        else:
            self.served, self.held = head, None
