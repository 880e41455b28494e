"""What a file system's errors mean for a build's files: the same as for all files, except that some
names are taken by other files of the build, or are not possible."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handlers.disk_faults import NO_NAME, fault_of_disk
from mlgate.orchestration.errors import OrchestrationError, Permanent

MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)


@contextmanager
def translated(folder: Path, path: str, verb: str) -> Iterator[None]:
    """Raise OSError as mlgate's own, for `path` in a build's `folder`; `verb`: read or written."""
    try:
        yield
    except OSError as error:
        raise _fault(folder, path, verb, error) from error
    except ValueError as error:  # a character that no name can have: NUL, half a surrogate
        raise _no_name(path, str(error)) from error


def gone(folder: Path, path: str) -> Permanent:
    return Permanent(f"The file {folder / path} no longer exists.")


def no_such_name(error: OSError | ValueError) -> bool:
    """Whether no file can exist there, so that nobody has written it."""
    return not isinstance(error, OSError) or error.errno in (*MISSING, *NO_NAME)


def _fault(folder: Path, path: str, verb: str, error: OSError) -> OrchestrationError:
    if error.errno in NO_NAME or (error.errno in _IN_THE_WAY and os.path.isdir(folder)):  # noqa: PTH112 -- raises nothing
        return _no_name(path, error.strerror or type(error).__name__)
    return fault_of_disk(folder / path, verb, error, "MLGATE_BUILDS")


def _no_name(path: str, why: str) -> Permanent:
    return Permanent(f"No file of a build can have the name {path[:200]!a}: {why}.")
