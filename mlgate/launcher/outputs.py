"""Keeps files of a run."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mlgate.launcher.records import OF_THE_HOST, Records
from mlgate.launcher.values import Place, Task

OUTPUTS = "outputs"  # in the working directory
ALWAYS = f"{OUTPUTS}/**"  # always kept

State = tuple[int, int, int]


def matching_files(
    folder: Path, parts: Sequence[str], place: Place, above: Sequence[Path] = ()
) -> Iterator[Path]:
    """The files below a folder that match the parts of a `glob` pattern, including hidden files.

    Links are followed, but neither out of the root nor back to a folder that they are in.
    """
    real = folder.resolve()
    inside = real.is_relative_to(place.root) and not real.is_relative_to(place.output)
    if not parts or not inside or real in above:
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from matching_files(folder, rest or ("*",), place, above)
        rest = parts  # to any depth
    try:
        paths = [path for path in folder.iterdir() if fnmatch.fnmatchcase(path.name, first)]
    except OSError:
        return
    for path in paths:
        if path.is_dir():
            yield from matching_files(path, rest, place, (*above, real))
        elif not rest and path.is_file() and path.resolve().is_relative_to(place.root):
            yield path


def matching_names(pattern: str, place: Place) -> set[str]:
    """The names of the files that match, relative to the working directory."""
    paths = matching_files(place.directory, PurePosixPath(pattern).parts, place)
    return {path.relative_to(place.directory).as_posix() for path in paths}


def leads_out(pattern: str) -> bool:
    return pattern.startswith("/") or ".." in pattern.split("/")


def states(place: Place) -> dict[str, State]:
    """The state of each file in the folder of outputs, which changes when the file is written."""
    found: dict[str, State] = {}
    for name in matching_names(ALWAYS, place):
        with contextlib.suppress(OSError):
            status = (place.directory / name).stat()
            found[name] = status.st_ino, status.st_size, status.st_mtime_ns
    return found


def unwritten(place: Place, before: Mapping[str, State]) -> set[str]:
    """The files in that folder that the run has not changed: their content is from another run."""
    return {name for name, state in states(place).items() if before.get(name) == state}


def take(source: Path, target: Path) -> None:
    """Link the file to another name, or copy it if that is on another disk."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def keep_outputs(
    task: Task, place: Place, left: Collection[str], records: Records
) -> tuple[list[str], list[str]]:
    """Copies the files to keep, except those `left`, to `kept/`; returns paths and warnings."""
    kept, warnings = matching_names(ALWAYS, place), []
    for pattern in task.outputs:
        if leads_out(pattern):
            warnings.append(f"outputs: `{pattern}` leads out of the working directory")
        elif found := matching_names(pattern, place):
            kept |= found
            if found <= set(left):
                warnings.append(f"outputs: this run wrote no file that matches `{pattern}`")
        else:
            warnings.append(f"outputs: no file matches `{pattern}`")
    kept.difference_update(left)
    for name in sorted(kept):
        target = place.output / "kept" / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            take(place.directory / name, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                target.unlink()  # it may be incomplete
            kept.remove(name)
            if error.errno in OF_THE_HOST:
                records.refuse(name, error)
            warnings.append(f"outputs: {name} could not be kept: {error}")
    return sorted(kept), warnings
