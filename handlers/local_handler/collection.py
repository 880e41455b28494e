"""Takes what an ended attempt left over into the build's files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from handlers.local_handler.attempts import AttemptFolder, read_file
from mlgate.orchestration.keeping import EVIDENCE, choose, take_over
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Outcome, Task

_LOG_LIMIT = 1 << 20  # bytes of the environment's log shown for a run that never began


def collect(
    folder: AttemptFolder, task: Task, outcome: Outcome, files: BuildFiles, most: int
) -> Outcome:
    """Copy `most` bytes of the attempt's files; the outcome with the kept ones named."""
    sizes = {path.relative_to(folder.output).as_posix(): size for path, size in _left(folder)}
    said = read_file(folder.environment_log, _LOG_LIMIT, end=True) or b""
    return take_over(task, outcome, choose(sizes, most=most), folder.output, files, said)


def _left(folder: AttemptFolder) -> Iterator[tuple[Path, int]]:
    """Regular files alone, with their sizes: a link could lead to any file of this machine."""
    if folder.output.is_symlink():
        return
    places = [folder.output / name for name in EVIDENCE]
    if not folder.kept.is_symlink():
        found = os.walk(folder.kept)
        places += [Path(directory, name) for directory, _, names in found for name in names]
    for place in places:
        try:
            status = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(status.st_mode):
            yield place, status.st_size
