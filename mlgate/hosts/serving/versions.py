"""Which version is to be served, and whether it may be: nothing of it is loaded here.

A process that serves takes only what a valid entry of the model's log names. What is wrong
with a version is found before its files are executed, and said in a sentence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.models import Entry, Manifest
from mlgate.orchestration.promotion import history

MOST_FILES = 10_000


class Refused(Exception):
    """A version that is not served. `lasting`: as long as it stays what it is."""

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Lost(Refused):
    """A version whose process a signal ended, or which was not loaded in time: the machine may have
    been short of something. `killed` by SIGKILL, as the system does for memory."""

    def __init__(self, reason: str, *, killed: bool) -> None:
        super().__init__(reason, lasting=False)
        self.killed = killed


@dataclass(frozen=True, slots=True)
class Version:
    """One that an entry of the log names."""

    entry: Entry
    manifest: Manifest

    @property
    def name(self) -> str:
        return f"{self.entry.model}@{self.entry.id}"

    @property
    def number(self) -> int:
        return self.entry.number


def entry_to_serve(models: ModelsPort, model: str, pinned: str | None) -> Entry | None:
    """The entry of the current version, or the last one that names the pinned id."""
    if pinned is None:
        return models.head(model).entry
    return history.named(pinned, models.log(model))


def version_of(models: ModelsPort, entry: Entry, formats: Collection[str]) -> Version:
    """The entry's version. Raises `Refused`, and what the store raises."""
    manifest = models.manifest(entry.model, entry.id)
    name = f"{entry.model}@{entry.id}"
    if manifest is None or manifest.digest != entry.digest:
        raise Refused(f"The manifest of {name} is not the one that entry {entry.number} names.")
    if manifest.format not in formats:
        raise Refused(
            f"{name} is in the format {manifest.format}, and this host serves "
            f"{', '.join(sorted(formats))} (MLGATE_MODEL_FORMATS)."
        )
    if len(manifest.files) > MOST_FILES:
        raise Refused(f"{name} has {len(manifest.files):,} files, of {MOST_FILES:,} at most.")
    return Version(entry, manifest)


def copy(models: ModelsPort, version: Version, folder: Path) -> None:
    """Have the version's files in a new folder of this host, hashed on the way.

    Raises what the store raises: `Permanent` where a file is not what the version says.
    """
    folder.mkdir(parents=True)
    models.fetch(version.entry.model, version.entry.id, folder)
