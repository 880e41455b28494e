"""The folder that `mlgate run --output` names: made ready for a build, and whose files stay.

It may be any folder of the user's, their project say, with pytest's `junit.xml` and TensorBoard's
`runs/`. So a file is removed or replaced only when an earlier build of ours wrote it, which is seen
by what is in it.
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
_BEGINNINGS = {  # of the other files that a build leaves in its folder
    "junit.xml": re.compile(rb"<\?xml[^>]*>\s*<testsuites name=\"mlgate "),
    "report.html": re.compile(
        rb"<!doctype html>\s*<html lang=\"en\">.*<title>\w+: build ", re.DOTALL
    ),
}
_BEGINNING = 4096  # bytes
_OF_A_RUN = ("log.txt", "executed.ipynb", "executed.html")
_LARGEST_RESULT = 64 << 20  # bytes


def prepare(output: Path) -> None:
    """Make the folder, and remove what an earlier build left there: nobody should take it for what
    the next one says.

    Raises `UsageError`, and changes nothing, for a folder that cannot be written or that has files
    of others where a build's files go.
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
                "that away, or name another folder"
            )
        for run in (result or {}).get("runs", []):
            _remove_run(output, run)
        for name in (*_BEGINNINGS, _RESULT):
            (output / name).unlink(missing_ok=True)
        with suppress(OSError):  # it holds something of somebody else
            (output / "runs").rmdir()


def point_to(output: Path, builds: Path, key: str) -> None:
    """Have the build's files found among those of other builds as well, as `mlgate builds` and
    `mlgate promote` look for them; the build that wrote there before has none there any more.

    Does nothing where that folder cannot be written: the files are where they were asked for.
    """
    place = output.resolve()
    with suppress(OSError):
        builds.mkdir(parents=True, exist_ok=True)
        for link in builds.iterdir():
            if link.is_symlink() and link.readlink() == place:
                link.unlink()
        (builds / key).symlink_to(place, target_is_directory=True)


def _result(file: Path) -> dict[str, Any] | None:
    """The content of a `result.json` as we write it; None for any other file."""
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
    """Remove the files that a result lists of a run, and the folders that are empty then."""
    root = output.resolve()
    folder = f"runs/{run['name']}"
    names = [f"{folder}/{name}" for name in _OF_A_RUN]
    names += [name for name in run["outputs"] if str(name).startswith(f"{folder}/")]
    for name in names:
        place = root.joinpath(name)
        # A folder of another place that is linked here, or a name with `..`: not ours.
        if ".." in place.parts or place.parent.resolve() != place.parent:
            continue
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            place.unlink()
        for above in place.parents:
            if above == root / "runs":
                break
            try:
                above.rmdir()
            except OSError:  # it is not empty, or not there
                break


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"--output {output} cannot be written: {error.strerror}") from error
