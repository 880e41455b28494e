"""Which of the files that an attempt left are taken over into the build's, and how they are called.

The same on every backend, which finds the files and brings them here: paths are relative to the
launcher's output folder, with `/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlgate.orchestration.launching import KEPT
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Outcome, RunStatus, Task

EVIDENCE = ("log.txt", "executed.ipynb", "executed.html")  # beside the folder of kept outputs
MOST_BYTES = 10 << 30  # of one run: more than results need, less than what fills a host's disk
_SHOWN = 3  # names of files in a warning


@dataclass(frozen=True, slots=True)
class Chosen:
    """`paths` in the order in which they are to be taken over: the evidence first."""

    paths: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def without(self, lost: frozenset[str], warning: str) -> Chosen:
        """The same, but for what could not be had."""
        paths = tuple(path for path in self.paths if path not in lost)
        return Chosen(paths, (*self.warnings, warning))


def choose(sizes: Mapping[str, int], *, most: int = MOST_BYTES, elsewhere: str = "") -> Chosen:
    """What to take over of files with these sizes, in bytes; a warning tells of what is left.

    A file that does not fit any more is left, and smaller ones after it are not. `elsewhere` is a
    sentence on where what was left can be had.
    """
    prefix = f"{KEPT}/"
    kept = sorted(path for path in sizes if path.startswith(prefix))
    paths, warnings, left = [], [], []
    for path in (*(name for name in EVIDENCE if name in sizes), *kept):
        if path.startswith(prefix) and (problem := _unusable(path.removeprefix(prefix))):
            warnings.append(problem)
        elif sizes[path] > most:
            left.append(path)
        else:
            most -= sizes[path]
            paths.append(path)
    if left:
        warnings.append(f"{_beyond(left)} {elsewhere}".strip())
    return Chosen(tuple(paths), tuple(warnings))


def take_over(
    task: Task, outcome: Outcome, chosen: Chosen, place: Path, files: BuildFiles, said: bytes = b""
) -> Outcome:
    """Copy what was chosen from `place` under `runs/<name>/`; the outcome with the kept ones named.

    Of a run without a log, `said` and the outcome's reason are the log.
    """
    build, folder = task.attempt.build, f"runs/{task.spec.name}"
    if "log.txt" not in chosen.paths:
        files.write(build, f"{folder}/log.txt", said + _reason(outcome).encode() + b"\n")
    outputs = []
    for path in chosen.paths:
        name = path.removeprefix(f"{KEPT}/")
        files.copy(build, f"{folder}/{name}", place / path)
        if path not in EVIDENCE:
            outputs.append(f"{folder}/{name}")
    warnings = (*outcome.warnings, *chosen.warnings)
    return replace(outcome, outputs=tuple(sorted(outputs)), warnings=warnings)


def _reason(outcome: Outcome) -> str:
    if outcome.failure is not None:
        return outcome.failure.message
    if outcome.status is RunStatus.CANCELED:
        return "The run was canceled before it began."
    return "There is no log of the run."


def _unusable(name: str) -> str | None:
    """Why a kept file cannot be taken over under its name; None: it can."""
    if name in EVIDENCE:
        return f"The kept file {name} was left out: the name is that of a report's."
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"A kept file was left out, for its name is no text: {name!a}."
    if not name.isprintable():
        return f"A kept file was left out, for its name is no text: {name!a}."
    return None


def _beyond(left: list[str]) -> str:
    names = ", ".join(path.removeprefix(f"{KEPT}/") for path in left[:_SHOWN])
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    files = "1 file was" if len(left) == 1 else f"{len(left)} files were"
    return f"{files} left out, for the files of a run are too large together: {names}{more}."
