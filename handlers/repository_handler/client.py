"""The interface of the git program and dulwich that the rest of the package uses."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from mlgate.orchestration.errors import OrchestrationError, Permanent

WHOLE_HISTORY = 0x7FFFFFFF  # git's own "infinite depth" (gitprotocol-pack, `deepen`)
_FILES_OPEN = 8  # open at once while a repository is read, and a few to spare
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_OURS = (
    *NO_SPACE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EACCES, errno.EPERM,
    errno.EROFS,
)  # fmt: skip


class Refused(Exception):
    """The server refuses the objects that were requested by SHA.

    `final`: the server serves any object that it has, so it does not have these.
    """

    def __init__(self, *, final: bool) -> None:
        super().__init__()
        self.final = final


class Broken(Exception):
    """The cached repository cannot be read, or git failed in an unknown way."""


class Unspoken(Exception):
    """The server and this host's git have no protocol in common; `detail` is the reason.

    `error` is what to raise if there is no other way to read the repository.
    """

    def __init__(self, detail: str, error: OrchestrationError) -> None:
        super().__init__(detail)
        self.detail = detail
        self.error = error


class DiskFull(Exception):
    """This host has no space left for the fetched files."""


def of_host(error: Exception) -> bool:
    """Whether the error is this host's own trouble, not that of the repository or the server."""
    if isinstance(error, OSError):
        return error.errno in _OURS
    return type(error) is RuntimeError and "start new thread" in str(error)


def git_only(field: str) -> Permanent:
    return Permanent(
        f"`{field}` needs the git program, which this host does not have: install git, or remove "
        "the field from the message."
    )


def require_open_files() -> None:
    """Raise OSError if this host is out of file descriptors.

    A library that cannot open a file may report it as missing, or its container as damaged.
    """
    opened = list[int]()
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_FILES_OPEN))
    finally:
        for descriptor in opened:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of one checkout.

    It must end at `until`, by the monotonic clock. A server may be silent for `stall` seconds.
    """

    until: float
    stall: float

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    @property
    def left(self) -> float:
        """The seconds left. Never 0: clients treat that as no limit or as an error."""
        return max(0.001, self.until - time.monotonic())


class Refs(Protocol):
    """A remote that lists its refs; raises the errors of a `Client`."""

    def list_refs(self, *names: str) -> Mapping[str, str]:
        """The remote's refs with these names; for a name that ends in `/`, those below it.

        `HEAD` is a valid name. The commit of a tag is listed under the tag's name and `^{}`, if the
        server sends it.
        """
        ...

    def close(self) -> None: ...


class Client(Refs, Protocol):
    """One cached bare repository and its remote.

    Talking to the remote raises `Temporary`, `Permanent`, `Refused`, `Unspoken` or `DiskFull`;
    reading the cache raises `Broken`. Neither ever prompts or executes code of the repository.
    Errors that are `of_host` are passed on.
    """

    def fetch(self, shas: Sequence[str], depth: int) -> None:
        """Fetch these objects and `depth` generations of their history."""
        ...

    def commit_of(self, sha: str) -> str | None:
        """The commit of `sha`, which is a commit or a tag of one; None if it is neither, or not
        here."""
        ...

    def tree_of(self, commit: str) -> str:
        """The SHA of the commit's tree."""
        ...

    def read(self, sha: str, kind: str, most: int) -> bytes | None:
        """The content of an object; None if it has more than `most` bytes.

        `kind` is "tree" or "blob". Raises Broken if the object is of another kind.
        """
        ...

    def sizes(self, shas: Sequence[str]) -> Sequence[int]:
        """The size of each object in bytes, without reading it into memory."""
        ...

    def write_blob(self, sha: str, sink: BinaryIO) -> None: ...

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:
        """Write the content of an LFS pointer file. Both are files on disk; `sink` is also
        readable."""
        ...

    def submodules(self, commit: str) -> Mapping[str, str]:
        """The URL of each submodule by its path, as in `.gitmodules`.

        Bytes that are not UTF-8 become surrogates. Raises `Permanent` if git cannot read the file.
        """
        ...
