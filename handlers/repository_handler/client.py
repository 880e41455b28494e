"""What the git program and dulwich have in common, as the rest of the package uses them."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

WHOLE_HISTORY = 0x7FFFFFFF  # git's own "infinite depth" (gitprotocol-pack, `deepen`)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Refused(Exception):
    """The server does not hand out the objects that were asked for by SHA.

    `final`: it would hand out any object that it has, so it has not got them.
    """

    def __init__(self, *, final: bool) -> None:
        super().__init__()
        self.final = final


class Broken(Exception):
    """The cached repository cannot be read, or git failed in a way nobody has a word for."""


class DiskFull(Exception):
    """There is no space left on this host for what is fetched."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one checkout: when it must have ended, by the monotonic clock; the silence of a server.

    `stall` is in seconds.
    """

    until: float
    stall: float

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    @property
    def left(self) -> float:
        """Seconds, as a time limit: never 0, which clients take for none or for a mistake."""
        return max(0.001, self.until - time.monotonic())


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file, link (mode 120000) or submodule (160000); `path` is raw bytes, as git keeps it."""

    path: bytes
    mode: int
    sha: str


class Client(Protocol):
    """One cached bare repository here and its remote there.

    Talking to the remote raises `Temporary`, `Permanent`, `Refused` or `DiskFull`; reading what is
    cached raises `Broken`. Neither ever prompts or runs anything of the repository.
    """

    def list_refs(self, *names: str) -> Mapping[str, str]:
        """Of the remote's refs those with these names, or, for a name that ends in `/`, below it.

        `HEAD` included; a tag's commit, where the server tells, under its name and `^{}`.
        """
        ...

    def fetch(self, shas: Sequence[str], depth: int) -> None:
        """Bring these objects and `depth` generations of their history here."""
        ...

    def commit_of(self, sha: str) -> str | None:
        """The commit that `sha` is, or is a tag of; None when it is not here or is no commit."""
        ...

    def tree(self, commit: str) -> Iterable[TreeEntry]:
        """Every leaf of the commit's tree, below all folders."""
        ...

    def write_blob(self, sha: str, sink: BinaryIO) -> None: ...

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:
        """What an LFS pointer file stands for; both are files on disk, `sink` is readable too."""
        ...

    def submodules(self, commit: str) -> Mapping[str, str]:
        """The URL of each submodule by its path, as `.gitmodules` says them."""
        ...

    def close(self) -> None: ...
