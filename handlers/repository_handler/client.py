"""What the git program and dulwich have in common, as the rest of the package uses them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from mlgate.orchestration.errors import OrchestrationError, Permanent

WHOLE_HISTORY = 0x7FFFFFFF  # git's own "infinite depth" (gitprotocol-pack, `deepen`)
_FILES_OPEN = 8  # at once, and more, while a repository is read
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_OURS = (
    *NO_SPACE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EACCES, errno.EPERM,
    errno.EROFS,
)  # fmt: skip


class Refused(Exception):
    """The server does not hand out the objects that were asked for by SHA.

    `final`: it would hand out any object that it has, so it has not got them.
    """

    def __init__(self, *, final: bool) -> None:
        super().__init__()
        self.final = final


class Broken(Exception):
    """The cached repository cannot be read, or git failed in a way nobody has a word for."""


class Unspoken(Exception):
    """The server and this host's git do not understand each other, for the reason `detail`.

    `error` is what to raise when there is no other way to read the repository.
    """

    def __init__(self, detail: str, error: OrchestrationError) -> None:
        super().__init__(detail)
        self.detail = detail
        self.error = error


class DiskFull(Exception):
    """There is no space left on this host for what is fetched."""


def of_host(error: Exception) -> bool:
    """Whether this host cannot do it now, which says nothing of what is read or asked."""
    if isinstance(error, OSError):
        return error.errno in _OURS
    return type(error) is RuntimeError and "start new thread" in str(error)


def git_only(field: str) -> Permanent:
    return Permanent(
        f"`{field}` needs the git program, which this host does not have: install git, or leave "
        "it out of the message."
    )


def require_open_files() -> None:
    """Raise OSError where this host has no more of them.

    Who cannot open a file may say that it is not there, or that what holds it is damaged.
    """
    opened = list[int]()
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_FILES_OPEN))
    finally:
        for descriptor in opened:
            os.close(descriptor)


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


class Refs(Protocol):
    """A remote, as far as it lists its refs; raises what a `Client` does."""

    def list_refs(self, *names: str) -> Mapping[str, str]:
        """Of the remote's refs those with these names, or, for a name that ends in `/`, below it.

        `HEAD` included; a tag's commit, where the server tells, under its name and `^{}`.
        """
        ...

    def close(self) -> None: ...


class Client(Refs, Protocol):
    """One cached bare repository here and its remote there.

    Talking to the remote raises `Temporary`, `Permanent`, `Refused`, `Unspoken` or `DiskFull`;
    reading what is cached raises `Broken`. Neither ever prompts or runs anything of the repository.
    What is `of_host` goes through.
    """

    def fetch(self, shas: Sequence[str], depth: int) -> None:
        """Bring these objects and `depth` generations of their history here."""
        ...

    def commit_of(self, sha: str) -> str | None:
        """The commit that `sha` is, or is a tag of; None when it is not here or is no commit."""
        ...

    def tree_of(self, commit: str) -> str:
        """The SHA of the commit's tree."""
        ...

    def read(self, sha: str, kind: str, most: int) -> bytes | None:
        """An object as a whole, if it has no more than `most` bytes.

        `kind` is "tree" or "blob"; what is another one is Broken.
        """
        ...

    def sizes(self, shas: Sequence[str]) -> Sequence[int]:
        """The bytes of each object, however large, without reading it."""
        ...

    def write_blob(self, sha: str, sink: BinaryIO) -> None: ...

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:
        """What an LFS pointer file stands for; both are files on disk, `sink` is readable too."""
        ...

    def submodules(self, commit: str) -> Mapping[str, str]:
        """The URL of each submodule by its path, as `.gitmodules` says them.

        Bytes that are not UTF-8 are surrogates. Raises `Permanent` for a file that git cannot read.
        """
        ...
