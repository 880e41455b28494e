"""`ModelsPort`, the same in every place.

The first writer that creates an entry takes its number, and an entry is never changed. So readers
need no lock, and a writer that comes second looks at the head again. A version's files are written
before its manifest, and its manifest before the entry that names it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from handlers.models_handler.files import Differs, check_files, hashed, temporary_folder, write_new
from handlers.models_handler.heads import Heads, last_taken
from handlers.models_handler.layout import (
    checked_name,
    entry_name,
    kept_version,
    version_name,
    versions_of,
)
from handlers.models_handler.place import Place
from mlgate.orchestration.durable import Head
from mlgate.orchestration.errors import Busy, Permanent
from mlgate.orchestration.models import Entry, Manifest, ModelFile, entry_of, is_name, manifest_of

VOID_AFTER = timedelta(seconds=60)  # by then nobody is still writing a torn entry
_MOST = 16 << 20  # bytes of an entry or a manifest; a larger one is void
_DELAY = 2.0  # seconds


class ModelStore:
    """`ModelsPort`. Safe for threads."""

    def __init__(self, place: Place, void_after: timedelta = VOID_AFTER) -> None:
        self._place = place
        self._void_after = void_after
        self._heads = Heads()

    @property
    def location(self) -> str:
        return self._place.location

    def init(self) -> None:
        """Make the place a store, unless it is one."""
        self._place.init()

    def models(self) -> list[str]:
        self._enter()
        names = [name for name in self._place.folders() if is_name(name)]
        return sorted(name for name in names if self._read(entry_name(name, 1)) is not None)

    def head(self, model: str) -> Head:
        checked_name(model)
        self._enter()
        return self._look(model)

    def entry(self, model: str, number: int) -> Entry | None:
        checked_name(model)
        self._enter()
        return self._entry(model, number)

    def log(self, model: str) -> Iterator[Entry]:
        for number in range(self.head(model).taken, 0, -1):
            found = self._entry(model, number)
            if found is not None:
                yield found

    def append(self, entry: Entry) -> bool:
        model, number, content = entry.model, entry.number, _sized(entry.content)
        name, _ = entry_name(model, number), version_name(model, entry.id)  # checks both
        self._enter(writing=True)
        before = self._heads.known(model)
        taken = before.taken
        if taken < number - 1:
            taken = self._look(model).taken
            before = self._heads.known(model)
        current = before.entry.id if before.entry else None
        follows = before.taken == number - 1 and entry.replaces == current
        began = time.monotonic()
        if follows and self._place.create(name, content):
            # The write took so long that the entry may count as void by now.
            late = time.monotonic() - began > self._void_after.total_seconds() / 2
            if late and self._read(entry_name(model, number + 1)) is not None:
                return False
            self._heads.learn(model, Head(entry, number))
            return True
        # An earlier try of this append may have done it: it was killed, or its answer was lost.
        if self._read(name) == content:
            return True
        if taken < number - 1:
            raise Permanent(f"The log of {model} has no entry {number - 1} before {number}.")
        if taken == number - 1 and before.taken < taken:
            raise Busy(
                f"Entry {taken} of {model} is being written, or was cut short. It becomes void "
                f"{self._void_after.total_seconds():g} s after it was begun.",
                _DELAY,
            )
        return False

    def void(self, model: str, number: int) -> None:
        name = entry_name(model, number)
        self._enter(writing=True)
        self._place.create(name, b"")  # like a torn entry

    def keep(self, model: str, manifest: Manifest, parts: Callable[[str], Iterable[bytes]]) -> None:
        check_files(manifest)
        content = _sized(manifest.content)
        folder, whose = version_name(model, manifest.id), f"{model}@{manifest.id}"
        self._enter(writing=True)
        found = self._read(f"{folder}/manifest.json")
        kept = None if found is None else _manifest(found, manifest.id)
        if kept is not None and kept.digest != manifest.digest:
            raise Permanent(f"{whose} is another version of that id: its digest is {kept.digest}.")
        sizes = self._place.sizes(f"{folder}/files")
        for file in manifest.files:
            name = f"{folder}/files/{file.path}"
            if sizes.get(file.path) != file.size or self._differs(name, file):
                over = file.path in sizes
                self._place.write(name, hashed(parts(file.path), file, whose), over=over)
        if lost := self._lost(folder, manifest):
            raise Permanent(
                f"{whose} cannot be kept in {self.location}: something else is where {lost[0]} "
                "belongs. Remove it."
            )
        if kept is None:  # a torn one had this content or none, so it may be replaced
            name = f"{folder}/manifest.json"
            self._place.write(name, (content,), over=found is not None)
        self._place.tidy()

    def versions(self, model: str) -> list[str]:
        folder = versions_of(model)
        self._enter()
        paths = self._place.sizes(folder)
        found = {kept_version(path) for path in paths}
        with_files = {path.partition("/files/")[0] for path in paths if "/files/" in path}
        return sorted(version for version in with_files if version in found)

    def manifest(self, model: str, version: str) -> Manifest | None:
        folder = version_name(model, version)
        self._enter()
        found = self._read(f"{folder}/manifest.json")
        return None if found is None else _manifest(found, version)

    def missing(self, model: str, version: str) -> list[str]:
        return self._lost(version_name(model, version), self._kept(model, version))

    def fetch(self, model: str, version: str, folder: Path) -> None:
        manifest, home = self._kept(model, version), version_name(model, version)
        check_files(manifest)
        whose = f"{model}@{version} in {self.location}"
        for file in manifest.files:
            with self._place.opened(f"{home}/files/{file.path}") as parts:
                if parts is None:
                    raise Permanent(f"{whose}: {file.path} no longer exists.")
                write_new(folder / file.path, hashed(parts, file, whose))

    @contextmanager
    def fetched(self, model: str, version: str) -> Iterator[Path]:
        with temporary_folder() as folder:
            self.fetch(model, version, folder)
            yield folder

    def damaged(self, model: str, version: str) -> list[str]:
        manifest, home = self._kept(model, version), version_name(model, version)
        lost = set(self._lost(home, manifest))
        return [
            file.path
            for file in manifest.files
            if file.path in lost or self._differs(f"{home}/files/{file.path}", file)
        ]

    def drop_files(self, model: str, version: str) -> None:
        folder = version_name(model, version)
        self._enter(writing=True)
        self._place.remove(f"{folder}/files")

    def _enter(self, *, writing: bool = False) -> None:
        self._heads.of_store(self._place.ready(writing=writing))

    def _look(self, model: str) -> Head:
        known = self._heads.known(model)
        read: dict[int, Entry | None] = {}

        def taken(number: int) -> bool:
            content = self._read(entry_name(model, number))
            if content is not None:
                read[number] = _entry(content, model, number)
            return content is not None

        last = last_taken(known.taken, taken)
        entry, valid = known.entry, last
        while valid > known.taken:
            found = read[valid] if valid in read else self._entry(model, valid)
            if found is not None:
                entry = found
                break
            valid -= 1
        settled = valid
        while settled < last and self._void(model, settled + 1):
            settled += 1
        self._heads.learn(model, Head(entry, settled))
        return Head(entry, last)

    def _void(self, model: str, number: int) -> bool:
        """Whether a torn entry is void: nobody is still writing it."""
        age = self._place.age(entry_name(model, number))
        return age is not None and age >= self._void_after

    def _entry(self, model: str, number: int) -> Entry | None:
        content = self._read(entry_name(model, number))
        return None if content is None else _entry(content, model, number)

    def _kept(self, model: str, version: str) -> Manifest:
        found = self.manifest(model, version)
        if found is None:
            raise Permanent(f"There is no version {version} of {model} in {self.location}.")
        return found

    def _lost(self, folder: str, manifest: Manifest) -> list[str]:
        sizes = self._place.sizes(f"{folder}/files")
        return [file.path for file in manifest.files if sizes.get(file.path) != file.size]

    def _differs(self, name: str, file: ModelFile) -> bool:
        with self._place.opened(name) as parts:
            try:
                for _ in hashed(parts or (), file, name):
                    pass
            except Differs:
                return True
        return parts is None

    def _read(self, name: str) -> bytes | None:
        """The content: empty if it is too large to be mlgate's, None if the file is missing."""
        with self._place.opened(name) as parts:
            if parts is None:
                return None
            content = bytearray()
            for part in parts:
                content += part
                if len(content) > _MOST:
                    return b""
            return bytes(content)


def _sized(content: bytes) -> bytes:
    if len(content) > _MOST:
        raise Permanent(
            f"A record of {len(content) >> 20} MiB is too large for a model store, whose limit is "
            f"{_MOST >> 20} MiB. Use a smaller example for the model, for instance."
        )
    return content


def _entry(content: bytes, model: str, number: int) -> Entry | None:
    """None for a torn entry, and for one that belongs elsewhere."""
    found = entry_of(content)
    return found if found and (found.model, found.number) == (model, number) else None


def _manifest(content: bytes, version: str) -> Manifest | None:
    """None for a torn manifest, and for that of another version."""
    own = hashlib.sha256(content).hexdigest().startswith(version)
    return manifest_of(content) if own else None
