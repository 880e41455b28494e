"""Takes what an ended attempt left over into the build's files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from handlers.local_handler.attempts import AttemptFolder, read_file
from mlgate.orchestration.launching import EVIDENCE, unusable_output
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Outcome, Task

_LOG_LIMIT = 1 << 20  # bytes of the environment's log shown for a run that never began


def collect(folder: AttemptFolder, task: Task, outcome: Outcome, files: BuildFiles) -> Outcome:
    """Copy the attempt's files under `runs/<name>/`; the outcome with the kept ones named."""
    build, prefix = task.attempt.build, f"runs/{task.spec.name}"
    outputs: list[str] = []
    warnings: list[str] = []
    for path, source in sorted(_kept(folder)):
        if problem := unusable_output(path):
            warnings.append(problem)
        else:
            files.copy(build, f"{prefix}/{path}", source)
            outputs.append(f"{prefix}/{path}")
    for name in EVIDENCE:
        if not folder.output.is_symlink() and _is_file(folder.output / name):
            files.copy(build, f"{prefix}/{name}", folder.output / name)
        elif name == "log.txt":
            files.write(build, f"{prefix}/{name}", _log(folder, outcome))
    return replace(outcome, outputs=tuple(sorted(outputs)), warnings=(*outcome.warnings, *warnings))


def _kept(folder: AttemptFolder) -> Iterator[tuple[str, Path]]:
    """Regular files alone: a link could lead to any file of this machine."""
    root = folder.kept
    if folder.output.is_symlink() or root.is_symlink():
        return
    for directory, _, names in os.walk(root):
        for name in names:
            source = Path(directory, name)
            if _is_file(source):
                yield source.relative_to(root).as_posix(), source


def _log(folder: AttemptFolder, outcome: Outcome) -> bytes:
    """What to show of a run that was over before it could print anything."""
    reason = outcome.failure.message if outcome.failure else "The run was canceled before it began."
    said = read_file(folder.environment_log, _LOG_LIMIT, end=True) or b""
    return said + reason.encode() + b"\n"


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
