"""Which version to serve, and whether it may be served. Nothing of it is loaded here.

A server only serves what a valid entry of the model's log names. Problems with a version are found
before any of its files are executed, and reported in a sentence.
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
    """The version cannot be served; `lasting`: trying again cannot help."""

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Lost(Refused):
    """The version's process was ended by a signal or not ready in time.

    The machine may have been short of something. `killed`: by SIGKILL, which the system sends when
    memory runs out.
    """

    def __init__(self, reason: str, *, killed: bool) -> None:
        super().__init__(reason, lasting=False)
        self.killed = killed


@dataclass(frozen=True, slots=True)
class Version:
    """A version that an entry of the log names."""

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
            f"{name} has the format {manifest.format}, but this host only serves "
            f"{', '.join(sorted(formats))} (MLGATE_MODEL_FORMATS)."
        )
    if len(manifest.files) > MOST_FILES:
        raise Refused(f"{name} has {len(manifest.files):,} files; the limit is {MOST_FILES:,}.")
    return Version(entry, manifest)


def copy(models: ModelsPort, version: Version, folder: Path) -> None:
    """Copy the version's files to a new folder, checking their hashes.

    Raises what the store raises, such as `Permanent` for a file with another hash.
    """
    folder.mkdir(parents=True)
    models.fetch(version.entry.model, version.entry.id, folder)
