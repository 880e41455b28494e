"""Prepares the folder that `mlgate run --output` names.

It may be any folder of the user's, for example their project, with pytest's `junit.xml` and
TensorBoard's `runs/`. So a file is removed or replaced only if its content shows that an earlier
build of ours wrote it.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
_OF_A_RUN = ("log.txt", "executed.ipynb", "executed.html")
_LARGEST_RESULT = 64 << 20  # bytes


def prepare(output: Path) -> None:
    """Create the folder, and remove the files of an earlier build, which could be mistaken for new.

    Raises `UsageError`, and removes nothing, if the folder cannot be written or has other files
    where a build's files go.
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
        if others:
            raise UsageError(
                f"--output {output} has {', '.join(others)} that mlgate did not write; move "
                "it away, or choose another folder"
            )
        for run in (result or {}).get("runs", []):
            _remove_run(output, run)
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


def _remove_run(output: Path, run: dict[str, Any]) -> None:
    """Remove the files that a result lists for a run, and folders that are empty afterwards."""
    root = output.resolve()
    folder = f"runs/{run['name']}"
    names = [f"{folder}/{name}" for name in _OF_A_RUN]
    names += [name for name in run["outputs"] if str(name).startswith(f"{folder}/")]
    for name in names:
        place = root.joinpath(name)
        # Skip names with `..` and linked folders: they lead elsewhere.
        if ".." in place.parts or place.parent.resolve() != place.parent:
            continue
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
