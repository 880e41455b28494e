"""What hosts do with a store, as programs that can be killed.

    python -m tests.contract.handlers.models_handler.hosts contend WHERE WRITERS ROUNDS
    python -m tests.contract.handlers.models_handler.hosts promote WHERE COUNT BYTES
    python -m tests.contract.handlers.models_handler.hosts read WHERE FOLDER

A `promote` that was killed goes on where it was; `read` looks until its input ends, and prints what
it saw.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from handlers.models_handler import ModelStore
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Entry, Manifest, ModelFile
from tests.contract.handlers.models_handler.places import opened
from tests.contract.handlers.models_handler.some import MODEL, entry_after, manifest_for

VOID_AFTER = timedelta(seconds=1)  # as a torn entry is waited for in each of these tests
_KEPT = 10  # promotions whose files stay
_PART = 1 << 20


def contend(store: ModelStore, who: str) -> int:
    """Append one entry, and weigh again as long as others come first; its number.

    An append without an answer is repeated as it was, since it may be in the log.
    """
    entry: Entry | None = None
    while True:
        try:
            entry = entry or entry_after(store.head(MODEL), who)
            if store.append(entry):
                return entry.number
            entry = None
        except Temporary:
            time.sleep(0.01)


def promote(store: ModelStore, count: int, size: int) -> None:
    """Versions of three files, `size` bytes in all."""
    while True:
        try:
            head = store.head(MODEL)
            number = head.entry.number if head.entry else 0
            done = int((head.entry and head.entry.person) or 0)
            if done == count:
                return
            manifest = version(done + 1, size)
            store.keep(MODEL, manifest, lambda path, done=done: content(done + 1, path, size))  # type: ignore[misc]  # a default binds the loop's value
            after = entry_after(head, f"{done + 1}")
            store.append(replace(after, id=manifest.id, digest=manifest.digest))
            old = store.entry(MODEL, number - _KEPT)
            if old is not None:
                store.drop_files(MODEL, old.id)
        except Temporary:
            time.sleep(0.02)


def content(number: int, path: str, size: int) -> Iterator[bytes]:
    left, part = size // 3, hashlib.sha256(f"{number} {path}".encode()).digest() * (_PART // 32)
    while left > 0:
        yield part[:left]
        left -= _PART


def version(number: int, size: int) -> Manifest:
    files = []
    for path in ("MLmodel", "a/model.bin", "b/other.bin"):
        digest = hashlib.sha256()
        for part in content(number, path, size):
            digest.update(part)
        files.append(ModelFile(path, size // 3, digest.hexdigest()))
    return replace(manifest_for({}), files=tuple(files))


class Reader:
    """Looks at the head and fetches what it names, whenever that is another one."""

    def __init__(self, store: ModelStore, folder: Path) -> None:
        self._store, self._folder = store, folder
        self.fetched = 0
        self.wrong: list[str] = []

    def look(self, last: int) -> int:
        entry = self._store.head(MODEL).entry
        if entry is None or entry.number == last:
            return last
        try:
            manifest = self._store.manifest(MODEL, entry.id)
            if manifest is None or manifest.digest != entry.digest:
                self.wrong.append(f"entry {entry.number} has no version")
                return entry.number
            shutil.rmtree(self._folder, ignore_errors=True)
            self._store.fetch(MODEL, entry.id, self._folder)
        except Permanent as error:
            latest = self._store.head(MODEL).entry
            if latest is None or latest.number - entry.number < _KEPT:
                self.wrong.append(str(error))
            return entry.number
        self.fetched += 1
        for file in manifest.files:
            found = (self._folder / file.path).read_bytes()
            if hashlib.sha256(found).hexdigest() != file.sha256:
                self.wrong.append(f"{file.path} of {entry.number}")
        return entry.number

    def run(self, stop: threading.Event) -> None:
        last = 0
        while not stop.is_set():
            try:
                last = self.look(last)
            except Temporary as error:
                self.wrong.append(str(error))
            time.sleep(0.005)


def main(what: str, where: str, *arguments: str) -> None:
    if what == "contend":
        writers, rounds = map(int, arguments)
        children = [_forked(where, writer, rounds) for writer in range(writers)]
        ended = [os.waitpid(child, 0)[1] for child in children]
        sys.exit(any(ended))
    store = opened(where, VOID_AFTER)
    if what == "promote":
        promote(store, *map(int, arguments))
        return
    reader, stop = Reader(store, Path(arguments[0])), threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop,))
    thread.start()
    sys.stdin.read()
    stop.set()
    thread.join()
    json.dump({"fetched": reader.fetched, "wrong": reader.wrong}, sys.stdout)


def _forked(where: str, writer: int, rounds: int) -> int:
    """Before anything is opened, so that the processes share nothing."""
    child = os.fork()
    if child == 0:
        try:
            store = opened(where)
            for each in range(rounds):
                contend(store, f"{writer}.{each}")
            os._exit(0)
        finally:
            os._exit(1)
    return child


if __name__ == "__main__":
    main(*sys.argv[1:])
