"""Copies the files of an ended attempt to the build's files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from handlers.local_handler.attempts import AttemptFolder, read_file
from handlers.local_handler.variables import without_credentials
from mlgate.orchestration.backends.keeping import EVIDENCE, choose, take_over
from mlgate.orchestration.backends.launching import KEPT
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Outcome, Task

_LOG_LIMIT = 1 << 20  # bytes of the environment's log, shown for a run that never started
_GONE = (errno.ENOENT, errno.ENOTDIR)
_THEIRS = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)  # errors that a run can cause


def collect(
    folder: AttemptFolder, task: Task, outcome: Outcome, files: BuildFiles, most: int
) -> Outcome:
    """Copy up to `most` bytes of the attempt's files; returns the outcome, naming those copied."""
    sizes, unreadable = _left(folder.output)
    chosen = choose(sizes, most=most)
    if unreadable:
        chosen = chosen.without(sorted(unreadable), "they cannot be read")
    said = read_file(folder.environment_log, _LOG_LIMIT, end=True) or b""
    shown = without_credentials(said.decode("utf-8", "replace")).encode()
    return take_over(task, outcome, chosen, folder.output, files, shown)


def _left(output: Path) -> tuple[dict[str, int], list[str]]:
    """The sizes of the regular files, and the paths that cannot be read.

    Links are not followed: they could lead to any file of this machine. There is no recursion,
    because folders may be deeper than Python's stack.
    """
    sizes: dict[str, int] = {}
    unreadable: list[str] = []
    if output.is_symlink():
        return sizes, unreadable
    waiting = [*EVIDENCE, KEPT]
    while waiting:
        path = waiting.pop()
        try:
            status = (output / path).lstat()
            if stat.S_ISREG(status.st_mode):
                _allow(output / path, status, stat.S_IRUSR)
                sizes[path] = status.st_size
            elif stat.S_ISDIR(status.st_mode) and path not in EVIDENCE:
                _allow(output / path, status, stat.S_IRWXU)
                names = os.listdir(output / path)  # noqa: PTH208 -- no Path for each of many
                waiting += [f"{path}/{name}" for name in names]
        except OSError as error:
            if error.errno in _THEIRS:
                unreadable.append(path)
            elif error.errno not in _GONE:
                raise
    sizes.pop(KEPT, None)  # a file where the folder should be
    return sizes, unreadable


def _allow(place: Path, status: os.stat_result, mode: int) -> None:
    """Restore the owner's permissions `mode`: a run, which has the same owner, may remove them."""
    if status.st_mode & mode != mode:
        place.chmod(stat.S_IMODE(status.st_mode) | mode)
