"""What of a build's files can be attached: one is in memory at a time, and of a bounded size."""

from __future__ import annotations

from mlgate.orchestration.ports import BuildFiles

FILE_SIZE = 32 * 1024 * 1024  # bytes; several times that is in memory to send it


def content_of(files: BuildFiles, build: str, path: str) -> bytes | None:
    """None for a file that is too large, and nothing for one that is not there.

    Of a log that is too long it is the end, which says what happened.
    """
    if path.endswith(".txt"):
        return files.tail(build, path, FILE_SIZE)
    content = files.read(build, path, FILE_SIZE)
    if content is None and not files.tail(build, path, 1):
        return b""
    return content
