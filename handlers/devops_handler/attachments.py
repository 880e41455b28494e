"""Reads a build's files for attaching: one at a time in memory, each of a bounded size."""

from __future__ import annotations

from mlgate.orchestration.ports import BuildFiles

FILE_SIZE = 32 * 1024 * 1024  # bytes; sending a file needs several times its size in memory


def content_of(files: BuildFiles, build: str, path: str) -> bytes | None:
    """The content of a file: None if it is too large, empty if it is missing.

    A log that is too long is cut to its end, which says what happened.
    """
    if path.endswith(".txt"):
        return files.tail(build, path, FILE_SIZE)
    content = files.read(build, path, FILE_SIZE)
    if content is None and not files.tail(build, path, 1):
        return b""
    return content
