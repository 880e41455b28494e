"""Versions and entries, made of little."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from mlgate.orchestration.durable import Head, ModelsPort
from mlgate.orchestration.models import Entry, EntryKind, Manifest, ModelFile

MODEL = "churn"
FILES = {"MLmodel": b"flavors: {}\n", "data/model.bin": b"\x00weights" * 20_000, "data/empty": b""}
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def manifest_for(files: Mapping[str, bytes]) -> Manifest:
    return Manifest(
        "mlflow",
        ".",
        "3.11.7",
        "linux-x86_64",
        {"scikit-learn": "1.5.2"},
        tuple(
            ModelFile(path, len(content), hashlib.sha256(content).hexdigest())
            for path, content in sorted(files.items())
        ),
    )


def parts_of(files: Mapping[str, bytes]) -> Callable[[str], Iterable[bytes]]:
    """In parts of an odd size, as they come."""

    def parts(path: str) -> Iterable[bytes]:
        content = files[path]
        return (content[at : at + 30_001] for at in range(0, len(content), 30_001))

    return parts


def keep(store: ModelsPort, files: Mapping[str, bytes] | None = None, model: str = MODEL) -> str:
    """The version's id."""
    files = FILES if files is None else files
    manifest = manifest_for(files)
    store.keep(model, manifest, parts_of(files))
    return manifest.id


def entry_after(head: Head, who: str = "Ada", model: str = MODEL) -> Entry:
    """The next one, of a version that is not there."""
    digest = hashlib.sha256(f"{model} {head.taken} {who}".encode()).hexdigest()
    replaces = head.entry.id if head.entry else None
    return Entry(
        head.taken + 1,
        model,
        EntryKind.PROMOTED,
        digest[:12],
        digest,
        replaces,
        AT,
        person=who,
        metrics={"train": {"accuracy": 0.9}},
    )


def append(store: ModelsPort, count: int = 1, model: str = MODEL) -> Entry:
    """The last of so many entries."""
    for _ in range(count):
        entry = entry_after(store.head(model), model=model)
        assert store.append(entry)
    return entry
