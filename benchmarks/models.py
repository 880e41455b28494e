"""Measures keeping a version beside copying and hashing it, and reading the head of two logs.

    make bench [MEGABYTES=100]

Keeping and copying are measured in alternation in one run, and so are a short and a long log whose
head has not changed. The benchmark fails if keeping takes more than 1.5 times as long as `cp` and
`sha256sum`, or if the head of the longer log costs more. A kept version is on the disk when its
time is taken; a copied one may not be.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from handlers.blobs.container import Container
from handlers.models_handler import Answering, Folder, ModelStore
from handlers.models_handler.disk import Disk
from mlgate.emulators.azure_ml import Azurite, StorageUnavailable
from mlgate.orchestration.models import Entry, EntryKind, Manifest, ModelFile
from tests.contract.handlers.models_handler.places import InBlobs
from tests.servers.blob_relay import blob_relay

FEW, MANY = 10, 10_000
ROUNDS, LOOKS = 7, 100
MOST = 1.5  # times as long
MODEL = "churn"


class Counting(Disk):
    """Counts opened files."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def open(self, path: Path) -> int | None:
        self.asked["open"] += 1
        return super().open(path)


def main() -> None:
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 100) << 20
    with tempfile.TemporaryDirectory() as folder:
        ratios = [_keeping(Path(folder), size), _folder_heads(Path(folder))]
    try:
        ratios.append(_container_heads())
    except StorageUnavailable as missing:
        print(f"\nthe container is skipped: {missing}")
    if max(ratios) > MOST:
        sys.exit(f"A cost is above the limit: {max(ratios):.2f} times as much.")


def _keeping(folder: Path, size: int) -> float:
    store = ModelStore(Answering(Folder(folder / "models", embedded=True)))
    taken: dict[str, list[float]] = {"cp and sha256sum": [], "keep": []}
    for _ in range(ROUNDS):
        source = folder / uuid.uuid4().hex  # with new bytes, so that the store does not have it yet
        source.write_bytes(os.urandom(1 << 20) * (size >> 20))
        file = ModelFile("model", size, _hash_of(source))
        manifest = Manifest("onnx", ".", "3.11.7", "linux", {}, (file,))
        copy = source.with_suffix(".copy")
        steps: dict[str, Callable[[], object]] = {
            "cp and sha256sum": lambda source=source, copy=copy: _copy(source, copy),  # type: ignore[misc]  # a default binds the loop's value
            "keep": lambda manifest=manifest, source=source: store.keep(  # type: ignore[misc]  # a default binds the loop's value
                MODEL, manifest, lambda _: _parts(source)
            ),
        }
        for name, act in steps.items():
            os.sync()
            began = time.perf_counter()
            act()
            taken[name].append(time.perf_counter() - began)
        store.drop_files(MODEL, manifest.id)
        source.unlink()
        copy.unlink()
    found = {name: statistics.median(times) for name, times in taken.items()}
    ratio = found["keep"] / found["cp and sha256sum"]
    print(f"\na version of {size >> 20} MB in a folder, s\n")
    for name, seconds in found.items():
        print(f"{name:<26} {seconds:>10.3f}")
    print(f"{'ratio':<26} {ratio:>10.2f}")
    return ratio


def _copy(source: Path, copy: Path) -> None:
    subprocess.run(["cp", source, copy], check=True)
    subprocess.run(["sha256sum", copy], check=True, stdout=subprocess.DEVNULL)


def _folder_heads(folder: Path) -> float:
    stores, disk = [], Counting()
    for count in (FEW, MANY):
        root = folder / f"{count}"
        store = ModelStore(Answering(Folder(root, disk=disk)))
        store.init()
        (root / MODEL / "log").mkdir(parents=True)
        for entry in _log(count):
            path = root / MODEL / "log" / f"{entry.number:08d}.json"
            path.write_bytes(entry.content)
        stores.append(store)

    def asked() -> int:
        found, disk.asked = disk.asked.total(), Counter()
        return found

    return _compared("a folder, whose mark is looked at each time", stores, asked)


def _container_heads() -> float:
    """The long log only has the entries that the search reads: all would take minutes to write."""
    with ExitStack() as stack:
        relay = stack.enter_context(blob_relay(stack.enter_context(Azurite())))
        stores = []
        for count in (FEW, MANY):
            place = InBlobs(relay, f"models-{uuid.uuid4().hex}")
            _fill(place.container(), count)
            stores.append(place.open())
        return _compared("a container on Azurite", stores, lambda: relay.counted().total())


def _fill(container: Container, count: int) -> None:
    searched = {1 << power for power in range(14)} | set(range(count - count % 16, count + 1))
    low, high = 8192, 16384
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle <= count else (low, middle)
        searched.add(middle)
    for entry in _log(count):
        if entry.number in searched or count == FEW:
            container.put(f"{MODEL}/log/{entry.number:08d}.json", entry.content)


def _compared(place: str, stores: Sequence[ModelStore], asked: Callable[[], int]) -> float:
    print(f"\nan unchanged head in {place}\n\n{'':<26} {FEW:>10,} {MANY:>10,} {'ratio':>8}")
    first = []
    for store, count in zip(stores, (FEW, MANY), strict=True):
        asked()
        assert store.head(MODEL).taken == count
        first.append(asked())
    taken: list[list[float]] = [[], []]
    requests: list[int] = [0, 0]
    for _ in range(LOOKS):
        for number, store in enumerate(stores):
            began = time.perf_counter()
            store.head(MODEL)
            taken[number].append((time.perf_counter() - began) * 1000)
            requests[number] += asked()
    few, more = (statistics.median(times) for times in taken)
    print(f"{'requests of the first look':<26} {first[0]:>10} {first[1]:>10}")
    each = [found / LOOKS for found in requests]
    print(f"{'requests of each other':<26} {each[0]:>10g} {each[1]:>10g} {each[1] / each[0]:>8.2f}")
    print(f"{'its time, ms':<26} {few:>10.3f} {more:>10.3f} {more / few:>8.2f}")
    return each[1] / each[0]


def _log(count: int) -> Iterator[Entry]:
    digest = hashlib.sha256(b"").hexdigest()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    entry = Entry(1, MODEL, EntryKind.PROMOTED, digest[:12], digest, None, at)
    return (replace(entry, number=number) for number in range(1, count + 1))


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            yield part


if __name__ == "__main__":
    main()
