"""What is stored of a staged commit: all that submitting its runs needs, as one string."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_IXUSR
from typing import Self
from uuid import UUID

from mlgate.launcher.archive import archive
from mlgate.orchestration.errors import Permanent

LAUNCHER = "launcher.pyz"  # beside the tree, so that no file of the repository can replace it
EXECUTABLE = "executable.json"  # beside it, too: the list of the tree's executable files
TREE = "tree"
# Storage turns a backslash into a slash, so that a file could replace another one; the others are
# not allowed, or dropped (learn.microsoft.com, "Naming and referencing containers, blobs, ...").
_UNSTORABLE = re.compile(r"[\\\x00-\x1f\x7f-\x9f]|\.(/|$)")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`code` is the code version's id; `environments` has those made from files of the commit.

    A value of `environments` is the name that jobs use, or `UNUSABLE` and why there is none.
    `warnings`, by the same keys, are for the runs that use them.
    """

    code: str
    commit: str
    repository: str
    ref: str | None
    environments: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)

    def word(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, word: str) -> Self:
        return cls(**json.loads(word))

    @property
    def experiment(self) -> str:
        """Named after the repository, for builds whose pipeline has no name."""
        last = self.repository.rstrip("/").rpartition("/")[2].removesuffix(".git")
        return experiment_named(last) or "mlgate"


UNUSABLE = "unusable: "


def experiment_named(name: str) -> str:
    """As experiments may be named: 1 to 255 letters, digits, - and _. Empty if nothing is left."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:100]


def files_of(root: Path, place: Path) -> dict[str, Path]:
    """The files to upload, by their paths there: the regular files of a clean tree, and two more.

    Those two are written to the folder `place`: the launcher, and the list of the tree's executable
    files, because storage keeps no modes. A checkout has no links and no `.git`, and they would be
    skipped. Raises Permanent for a name that blob storage would change.
    """
    tree = {path.relative_to(root).as_posix(): path for path in _regular(root)}
    if (name := unstorable(tree)) is not None:
        raise Permanent(
            f"The repository has a file whose name Azure's storage cannot keep, {name!r}. Rename "
            "it without backslashes, control characters and dots at the end, or leave it out of "
            "`repository.subdirectory`."
        )
    executable = [name for name, path in sorted(tree.items()) if path.stat().st_mode & S_IXUSR]
    beside = {LAUNCHER: archive(), EXECUTABLE: json.dumps(executable).encode()}
    for name, content in beside.items():
        (place / name).write_bytes(content)
    return {f"{TREE}/{name}": path for name, path in tree.items()} | {
        name: place / name for name in beside
    }


def unstorable(names: Iterable[str]) -> str | None:
    """The first of these paths that blob storage would change."""
    return next((name for name in names if _UNSTORABLE.search(name)), None)


def code_name(files: Mapping[str, Path]) -> str:
    """The same for the same files on every host; shaped like the SDK's own names."""
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
