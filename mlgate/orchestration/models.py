"""The nouns of models: what is kept, and the log that says which version is current.

A version is its content: its manifest lists every file with its hash, and the hash of the manifest
is the version's digest. An entry of a model's log is the proof of one change: it is created once
and never changed. The version that the highest valid entry names is the current one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

FORMAT = 1  # of manifests and entries
FORMATS = frozenset({"mlflow", "skops", "onnx", "joblib", "pickle"})  # of versions
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_name(text: str) -> bool:
    """Whether a model may have this name."""
    return _NAME.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether a version may have this id."""
    return _ID.fullmatch(text) is not None


def is_inside(path: object) -> bool:
    """Whether it is a path, with `/`, that stays below the folder that it is relative to."""
    return (
        isinstance(path, str)
        and bool(path)
        and "\\" not in path
        and "\0" not in path
        and not any(part in ("", ".", "..") for part in path.split("/"))
    )


class Weight(StrEnum):
    """A candidate beside the current version, by one metric."""

    BETTER = "better"
    NOT_WORSE = "not_worse"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric with its result; `current` None where there was no version to compare with.

    `measured`: the current version's value is of this build, and not the one on record.
    """

    run: str
    metric: str
    candidate: float | None
    current: float | None
    measured: bool
    verdict: Weight | None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """`path` is relative to the version's files, with `/`; `size` is in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version: its files, and what it needs to answer.

    `path` is what is loaded, "." for the folder of all files. `distributions` are those imported
    while it was loaded and answered, with their exact versions. `answer` is what it answered to
    `example`; both are JSON, and None where there is none.
    """

    format: str
    path: str
    python: str
    platform: str
    distributions: Mapping[str, str]
    files: tuple[ModelFile, ...]
    signature: Any = None
    example: Any = None
    answer: Any = None

    @property
    def content(self) -> bytes:
        """The same for the same version, wherever it is made; no time is in it."""
        return canonical({"version": FORMAT, **_MANIFEST.dump_python(self, mode="json")})

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def id(self) -> str:
        return self.digest[:12]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class EntryKind(StrEnum):
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class BuildOfEntry:
    """The build that an entry comes from."""

    key: str
    build_id: str
    pipeline: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryOfEntry:
    url: str
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a model's log. `replaces` is the id of the version that was current before.

    `metrics` are those of all runs of the build, by run; `comparison` is as in `Compared`.
    """

    number: int
    model: str
    kind: EntryKind
    id: str
    digest: str
    replaces: str | None
    at: datetime
    build: BuildOfEntry | None = None
    person: str | None = None
    repository: RepositoryOfEntry | None = None
    run: str | None = None
    studio_url: str | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gate: str | None = None
    comparison: tuple[Compared, ...] = ()
    reason: str = ""

    @property
    def content(self) -> bytes:
        said = {"version": FORMAT, **_ENTRY.dump_python(self, mode="json")}
        return canonical({**said, "sha256": _checksum(said)})


def canonical(said: Mapping[str, Any]) -> bytes:
    """JSON that is the same for the same content. Raises ValueError for NaN and infinity."""
    return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def manifest_of(content: bytes) -> Manifest | None:
    """None unless it is a manifest, in this format, of a version that can be loaded."""
    said = _parsed(content)
    if said is None or any(not is_inside(file) for file in _listed(said)):
        return None
    try:
        manifest = _MANIFEST.validate_python(said)
    except ValidationError:
        return None
    return manifest if _is_whole(manifest) else None


def _is_whole(manifest: Manifest) -> bool:
    """Whether what is to be loaded is among its files, and each file has a size and a hash."""
    names = [file.path for file in manifest.files]
    there = manifest.path in names or any(name.startswith(f"{manifest.path}/") for name in names)
    return (
        manifest.format in FORMATS
        and bool(names)
        and (manifest.path == "." or there)
        and all(file.size >= 0 and _SHA256.fullmatch(file.sha256) for file in manifest.files)
    )


def entry_of(content: bytes) -> Entry | None:
    """None if it is torn, was changed, or has another format."""
    said = _parsed(content)
    if said is None or said.pop("sha256", None) != _checksum({"version": FORMAT, **said}):
        return None
    try:
        return _ENTRY.validate_python(said)
    except ValidationError:
        return None


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.pop("version", None) != FORMAT:
        return None
    return said


def _listed(said: Mapping[str, Any]) -> list[object]:
    files = said.get("files")
    if not isinstance(files, list):
        return [None]
    return [file.get("path") if isinstance(file, dict) else None for file in files]


def _checksum(said: Mapping[str, Any]) -> str:
    try:
        return hashlib.sha256(canonical(said)).hexdigest()
    except ValueError:
        return ""


_MANIFEST = TypeAdapter(Manifest)
_ENTRY = TypeAdapter(Entry)
