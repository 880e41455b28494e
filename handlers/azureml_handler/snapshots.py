"""What is remembered of a staged commit: all that submitting its runs needs, as one word."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_IXUSR
from typing import Self
from uuid import UUID

from mlgate.orchestration.errors import Permanent

LAUNCHER = "launcher.py"  # beside the tree, so that no file of the repository can take its place
EXECUTABLE = "executable.json"  # there, too: which files of the tree are, for the launcher
TREE = "tree"
# A backslash becomes a slash there, so that a file could take another one's place; the others are
# not allowed, or lost (learn.microsoft.com, "Naming and referencing containers, blobs, ...").
_UNSTORABLE = re.compile(r"[\\\x00-\x1f\x7f-\x9f]|\.(/|$)")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`code` is the code version's id; `environments` gives those made of files of the commit.

    A value of `environments` is what a job names, or, after `UNUSABLE`, why there is none.
    """

    code: str
    commit: str
    repository: str
    ref: str | None
    environments: Mapping[str, str] = field(default_factory=dict)

    def word(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, word: str) -> Self:
        return cls(**json.loads(word))

    @property
    def experiment(self) -> str:
        """Named after the repository, for builds whose pipeline tells no name."""
        last = self.repository.rstrip("/").rpartition("/")[2].removesuffix(".git")
        return experiment_named(last) or "mlgate"


UNUSABLE = "unusable: "


def experiment_named(name: str) -> str:
    """As experiments may be named, 1 to 255 letters, digits, - and _; empty if nothing is left."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:100]


def files_of(root: Path, launcher: Path) -> dict[str, Path]:
    """What is uploaded, by its path there: regular files of a clean tree, and the launcher.

    A checkout has no links and no `.git`; neither would be followed or taken here. Raises
    Permanent for a name that blob storage does not keep as it is.
    """
    files = {f"{TREE}/{path.relative_to(root).as_posix()}": path for path in _regular(root)}
    for name in files:
        if _UNSTORABLE.search(name):
            raise Permanent(
                "The repository has a file whose name Azure's storage cannot keep, "
                f"{name.removeprefix(f'{TREE}/')!r}: rename it without backslashes, control "
                "characters and dots at the end, or leave it out of `repository.subdirectory`."
            )
    return files | {LAUNCHER: launcher}


def with_modes(files: Mapping[str, Path], place: Path) -> dict[str, Path]:
    """The files, and the list of those that are executable, which storage does not keep.

    The list is written to `place`; where it would be empty, there is none.
    """
    names = [
        name.removeprefix(f"{TREE}/")
        for name, path in sorted(files.items())
        if name != LAUNCHER and path.stat().st_mode & S_IXUSR
    ]
    if not names:
        return dict(files)
    place.write_text(json.dumps(names), encoding="utf-8")
    return {**files, EXECUTABLE: place}


def code_name(files: Mapping[str, Path]) -> str:
    """The same for the same files, whoever uploads them; shaped like the SDK's own names."""
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as content:
            inner = hashlib.file_digest(content, "sha256").digest()
        digest.update(len(name.encode()).to_bytes(8, "big") + name.encode() + inner)
    return str(UUID(bytes=digest.digest()[:16]))


def _regular(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            path = Path(folder, name)
            if name != ".git" and path.is_file() and not path.is_symlink():
                yield path
