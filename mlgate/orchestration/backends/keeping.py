"""Which of an attempt's files are copied to the build's files, and under which names.

The same on every backend, which finds the files and brings them here: paths are relative to the
launcher's output folder, with `/`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mlgate.orchestration.backends.launching import KEPT
from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Outcome, RunStatus, Task

EVIDENCE = ("log.txt", "executed.ipynb", "executed.html")  # beside the folder of kept outputs
MOST_BYTES = 10 << 30  # of one run: more than results need, less than what fills a host's disk
MOST_FILES = 10_000  # kept by one run; their names are remembered with its build
MOST_NAMES = 1 << 20  # characters of those names together
_SHOWN = 3  # names of files in a warning
_TOO_LARGE = "the files of a run are too large together"
_TOO_MANY = f"a run keeps at most {MOST_FILES:,} files, with names of {MOST_NAMES:,} characters"


@dataclass(frozen=True, slots=True)
class Chosen:
    """`paths` in the order in which they are to be copied: the evidence first."""

    paths: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def without(self, lost: Sequence[str], why: str) -> Chosen:
        """The same without files that could not be copied."""
        gone = frozenset(lost)
        paths = tuple(path for path in self.paths if path not in gone)
        return Chosen(paths, (*self.warnings, _left_out(lost, why)))


def choose(sizes: Mapping[str, int], *, most: int = MOST_BYTES, elsewhere: str = "") -> Chosen:
    """Which files of these sizes, in bytes, to copy; a warning names those that are left out.

    A file that no longer fits is left out, and smaller ones after it are not. `elsewhere` says in
    sentences where to find those that did not fit.
    """
    prefix = f"{KEPT}/"
    kept = sorted(path for path in sizes if path.startswith(prefix))
    folders = {
        str(folder) for path in kept for folder in PurePosixPath(path.removeprefix(prefix)).parents
    }
    paths, left = [], defaultdict(list)
    files, characters = MOST_FILES, MOST_NAMES
    for path in (*(name for name in EVIDENCE if name in sizes), *kept):
        is_kept = path.startswith(prefix)
        why = _unusable(path.removeprefix(prefix), folders) if is_kept else None
        if why is None and is_kept and (files < 1 or characters < len(path)):
            why = _TOO_MANY
        if why is None and sizes[path] > most:
            why = _TOO_LARGE
        if why is not None:
            left[why].append(path)
            continue
        most -= sizes[path]
        paths.append(path)
        if is_kept:
            files, characters = files - 1, characters - len(path)
    warnings = {why: _left_out(those, why) for why, those in left.items()}
    for why in warnings.keys() & {_TOO_LARGE, _TOO_MANY}:
        warnings[why] = f"{warnings[why]} {elsewhere}".strip()
    return Chosen(tuple(paths), tuple(warnings.values()))


def take_over(
    task: Task, outcome: Outcome, chosen: Chosen, place: Path, files: BuildFiles, said: bytes = b""
) -> Outcome:
    """Copy what was chosen from `place` under `runs/<name>/`; the outcome with all of it named.

    Of a run without a log, `said` and the outcome's reason are the log. A kept file that the
    build's files refuse for good is left out.
    """
    build, folder = task.attempt.build, f"runs/{task.spec.name}"
    outputs, evidence = list[str](), list[str]()
    refused = dict[str, str]()
    if "log.txt" not in chosen.paths:
        files.write(build, f"{folder}/log.txt", said + _reason(outcome).encode() + b"\n")
        evidence.append(f"{folder}/log.txt")
    for path in chosen.paths:
        name = path.removeprefix(f"{KEPT}/")
        try:
            files.copy(build, f"{folder}/{name}", place / path)
        except Permanent as error:
            if path in EVIDENCE or isinstance(error, UnfitHost):
                raise
            refused[path] = str(error).rstrip(".")
        else:
            (evidence if path in EVIDENCE else outputs).append(f"{folder}/{name}")
    if refused:
        why = next(iter(refused.values()))
        chosen = chosen.without(list(refused), f"the build's store refused them ({why})")
    return replace(
        outcome,
        outputs=tuple(sorted(outputs)),
        evidence=tuple(sorted(evidence)),
        warnings=(*outcome.warnings, *chosen.warnings),
    )


def _reason(outcome: Outcome) -> str:
    if outcome.failure is not None:
        return outcome.failure.message
    if outcome.status is RunStatus.CANCELED:
        return "The run was canceled before it began."
    return "There is no log of the run."


def _unusable(name: str, folders: Collection[str]) -> str | None:
    """Why a kept file cannot be copied under its name, beside `folders`; None: it can."""
    # To some file systems, names are the same whatever their case.
    if name.split("/", maxsplit=1)[0].casefold() in EVIDENCE:
        return "reports use these names"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "their names are not text"
    if not name.isprintable():
        return "their names are not text"
    if name in folders:
        return "folders have these names too"
    return None


def _left_out(paths: Sequence[str], why: str) -> str:
    names = (path.removeprefix(f"{KEPT}/") for path in paths[:_SHOWN])
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in names)
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    files = "1 file was" if len(paths) == 1 else f"{len(paths)} files were"
    return f"{files} left out because {why}: {shown}{more}."
