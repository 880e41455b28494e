"""Prepares the folder that `mlgate run --output` names.

It may be any folder of the user's, for example their project, with pytest's `junit.xml` and
TensorBoard's `runs/`. So a file is removed or replaced only if its content shows that an earlier
build of ours wrote it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from mlgate.hosts.usage import UsageError

_RESULT = "result.json"
_BEGINNINGS = {  # how the other files of a build begin
    "junit.xml": re.compile(rb"<\?xml[^>]*>\s*<testsuites name=\"mlgate "),
    "report.html": re.compile(
        rb"<!doctype html>\s*<html lang=\"en\">.*<title>\w+: build ", re.DOTALL
    ),
}
_BEGINNING = 4096  # bytes
_UNFINISHED = ".mlgate-unfinished"  # there while a build has written no result
_NAMED = 3  # files of others that are named at most
_OF_A_RUN = ("log.txt", "executed.ipynb", "executed.html")
_LARGEST_RESULT = 64 << 20  # bytes


@contextmanager
def prepared(output: Path) -> Iterator[frozenset[Path]]:
    """The folder for one build, without the files of an earlier build; gives those of others.

    Raises `UsageError`, and removes nothing, if the folder cannot be written or has other files
    where a build's files go.
    """
    with _writing(output):
        prepare(output)
        resumed = (output / _UNFINISHED).exists()
        others = frozenset(() if resumed else _files_below(output.absolute() / "runs"))
        (output / _UNFINISHED).touch()
    try:
        yield others
    finally:
        # Without a result, only this file says whose the others are.
        if (output / _RESULT).exists() or not any(_of_runs(output)):
            with suppress(OSError):
                (output / _UNFINISHED).unlink(missing_ok=True)


def prepare(output: Path) -> None:
    """Create the folder, and remove the files of an earlier build, which could be mistaken for new.

    Raises as `prepared`.
    """
    with _writing(output):
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
        result = _result(output / _RESULT)
        others = [
            name
            for name, beginning in _BEGINNINGS.items()
            if (output / name).exists() and not _begins(output / name, beginning)
        ]
        if result is None and (output / _RESULT).exists():
            others.append(_RESULT)
        ours = {file for run in (result or {}).get("runs", []) for file in _files_of(run)}
        if not (output / _UNFINISHED).exists():
            others += islice((file for file in _of_runs(output) if file not in ours), _NAMED)
        if others:
            raise UsageError(
                f"--output {output} has {', '.join(others)} that mlgate did not write; move "
                "it away, or choose another folder"
            )
        for file in sorted(ours):
            _remove(output.resolve(), file)
        for name in (*_BEGINNINGS, _RESULT):
            (output / name).unlink(missing_ok=True)
        with suppress(OSError):  # it holds other files
            (output / "runs").rmdir()


def point_to(output: Path, builds: Path, key: str) -> None:
    """Link the build's folder from `builds`, where `mlgate builds` and `mlgate promote` look.

    The link of the build that used `output` before is removed. Does nothing if `builds` cannot be
    written: the files are in `output` anyway.
    """
    place = output.resolve()
    with suppress(OSError):
        builds.mkdir(parents=True, exist_ok=True)
        for link in builds.iterdir():
            if link.is_symlink() and link.readlink() == place:
                link.unlink()
        (builds / key).symlink_to(place, target_is_directory=True)


def _result(file: Path) -> dict[str, Any] | None:
    """The content of a `result.json` that mlgate wrote; None for any other file."""
    try:
        with file.open("rb") as opened:
            content = json.loads(opened.read(_LARGEST_RESULT))
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return None
    ours = isinstance(content, dict) and content.get("version") == 1 and "verdict" in content
    if not ours or not isinstance(content.get("runs"), list):
        return None
    known = all(
        isinstance(run, dict)
        and re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", str(run.get("name")))
        and isinstance(run.get("outputs"), list)
        for run in content["runs"]
    )
    return content if known else None


def _begins(file: Path, beginning: re.Pattern[bytes]) -> bool:
    try:
        with file.open("rb") as opened:
            return beginning.match(opened.read(_BEGINNING)) is not None
    except IsADirectoryError:
        return False


def _of_runs(output: Path) -> Iterator[str]:
    """What is where the files of runs go, by us or by others."""
    for folder in sorted((output / "runs").glob("*")):
        files = [*(folder / name for name in _OF_A_RUN), *_files_below(folder / "outputs")]
        yield from (file.relative_to(output).as_posix() for file in files if os.path.lexists(file))


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in sorted(names))


def _files_of(run: dict[str, Any]) -> Iterator[str]:
    """The files that a result lists for a run."""
    folder = f"runs/{run['name']}"
    names = _OF_A_RUN[:1] if run.get("kind") == "training" else _OF_A_RUN
    yield from (f"{folder}/{name}" for name in names)
    yield from (str(file) for file in run["outputs"] if str(file).startswith(f"{folder}/"))


def _remove(root: Path, file: str) -> None:
    """Remove a run's file, and the run's folders that are empty afterwards."""
    place = root.joinpath(file)
    # Skip names with `..` and linked folders: they lead elsewhere.
    if ".." in place.parts or place.parent.resolve() != place.parent:
        return
    with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        place.unlink()
    for above in place.parents:
        if above == root / "runs":
            break
        try:
            above.rmdir()
        except OSError:  # not empty, or missing
            break


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"--output {output} cannot be written: {error.strerror}") from error
