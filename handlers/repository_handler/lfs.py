"""Fetches the large files that git-lfs keeps outside the repository, which has pointer files.

Their format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO

from handlers.repository_handler.client import DiskFull
from handlers.repository_handler.faults import cause, disk_full, no_answer
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.errors import Permanent

if TYPE_CHECKING:
    from git.cmd import Git

LARGEST_POINTER = 1024  # bytes
_CHUNK = 1 << 20  # bytes
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n"
)


def is_pointer(content: bytes) -> bool:
    return len(content) < LARGEST_POINTER and _POINTER.match(content) is not None


def size_of_content(content: bytes) -> int | None:
    """The size in bytes that a pointer gives for its content; None if it is not a pointer."""
    size = re.search(rb"^size ([0-9]{1,18})$", content, re.MULTILINE)
    return int(size[1]) if is_pointer(content) and size else None


def smudge(git: Git, remote: Remote, pointer: BinaryIO, sink: BinaryIO, timeout: float) -> None:
    """Fetch the content of `pointer` with git-lfs, write it to `sink`, and check its hash.

    The repository's `.lfsconfig` is not read, because there is no work tree that could have one.
    """
    match = _POINTER.match(pointer.read(LARGEST_POINTER))
    assert match is not None
    pointer.seek(0)
    status, _, complaint = git.execute(
        ["git", "lfs", "smudge"],
        istream=pointer,
        output_stream=sink,
        with_extended_output=True,
        with_exceptions=False,
        kill_after_timeout=timeout,
    )
    if status != 0:
        raise _fault(remote, complaint)
    digest = hashlib.sha256()
    sink.seek(0)
    while chunk := sink.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != match[1].decode():
        raise Permanent(
            f"An LFS file of {remote.url} does not match its pointer "
            f"(sha256:{match[1].decode()}): push it again with `git lfs push`."
        )


def _fault(remote: Remote, complaint: str) -> Exception:
    if "is not a git command" in complaint:
        return Permanent(
            "`repository.lfs` needs the git-lfs program, which this host does not have: "
            "install it, or remove `lfs` from the message."
        )
    if disk_full(complaint):
        return DiskFull()
    if no_answer(complaint):
        return remote.silent(cause(complaint))
    return Permanent(
        f"An LFS file of {remote.url} cannot be fetched ({remote.redact(cause(complaint))}): "
        f"push it with `git lfs push`, and {remote.access.remedy}."
    )
