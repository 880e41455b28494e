"""Prepares the folder that `mlgate run --output` names.

It may be any folder of the user's, for example their project, with pytest's `junit.xml` and
TensorBoard's `runs/`. So a file is removed or replaced only if its content shows that an earlier
build of ours wrote it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from handlers.files_handler.folder import SCRATCH
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.errors import Permanent

_RESULT = "result.json"
_BEGINNINGS = {  # how the other files of a build begin
    "junit.xml": re.compile(rb"<\?xml[^>]*>\s*<testsuites name=\"mlgate "),
    "report.html": re.compile(
        rb"<!doctype html>\s*<html lang=\"en\">.*<title>\w+: build ", re.DOTALL
    ),
}
_BEGINNING = 4096  # bytes
_LEDGER = ".mlgate-files"  # there while a build has written no result
_NAMED = 3  # files of others that are named at most
_OF_A_RUN = ("log.txt", "executed.ipynb", "executed.html")
_LARGEST_RESULT = 64 << 20  # bytes


class Output:
    """The folder for one build. `claim` says before each file that mlgate is to write it.

    What was claimed is listed in a file of the folder until the build's result is there, which
    lists it then: a build that is killed leaves files that are known as ours.
    """

    def __init__(self, folder: Path, ledger: TextIO) -> None:
        self.folder = folder
        self._root = folder.resolve()
        self._ours = set[str]()
        self._ledger = ledger
        self._lock = threading.Lock()

    def claim(self, place: Path) -> None:
        """Raises `Permanent` if somebody else's file is there, or a folder on the way is a link."""
        name = place.relative_to(self.folder).as_posix()
        with self._lock:
            if name in self._ours:
                return
            inside = self._root / name
            if os.path.lexists(inside) or inside.parent.resolve() != inside.parent:
                raise Permanent(f"The file {place} was not written by mlgate. Move it away.")
            self._ledger.write(f"{json.dumps(name)}\n")
            self._ledger.flush()
            self._ours.add(name)

    def settle(self) -> None:
        """Keep what the result lists, and remove what else was written, as by earlier attempts."""
        result = _result(self.folder / _RESULT)
        if result is None and self._ours:
            return
        listed = {*_BEGINNINGS, _RESULT, *_listed(result or {"runs": []})}
        for name in sorted(self._ours - listed):
            _remove(self._root, name)
        with suppress(OSError):
            (self.folder / _LEDGER).unlink(missing_ok=True)


@contextmanager
def prepared(folder: Path) -> Iterator[Output]:
    """The folder for one build, in which the files of an earlier build are removed.

    Raises `UsageError`, and removes nothing, if the folder cannot be written, is in use, or has
    other files where a build's files go.
    """
    folder = folder.absolute()
    with ExitStack() as stack:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            ledger = stack.enter_context(_opened(folder / _LEDGER))
        try:
            fcntl.flock(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"--output {folder} is in use by another mlgate run") from None
        ledger.seek(0)
        claimed = set(_names(ledger))
        try:
            with _writing(folder):
                _clear(folder, claimed)
        except UsageError:
            if not claimed:
                (folder / _LEDGER).unlink()
            raise
        ledger.truncate(0)
        output = Output(folder, ledger)
        try:
            yield output
        finally:
            output.settle()


def _clear(folder: Path, claimed: Set[str]) -> None:
    """Remove the files of an earlier build, which could be mistaken for new. Raises `UsageError`.

    `claimed` are those of a build that has left no result.
    """
    result = _result(folder / _RESULT)
    others = [
        name
        for name, beginning in _BEGINNINGS.items()
        if (folder / name).exists() and not _begins(folder / name, beginning)
    ]
    if result is None and (folder / _RESULT).exists():
        others.append(_RESULT)
    if (folder / "runs").is_symlink():
        others.append("runs, a link,")
    ours = claimed | set(_listed(result or {"runs": []}))
    others += islice((file for file in _of_runs(folder) if file not in ours), _NAMED)
    if others:
        more = " and perhaps others" if len(others) > _NAMED - 1 else ""
        raise UsageError(
            f"--output {folder} has {', '.join(others)}{more} that mlgate did not write; move "
            "that away, or choose another folder"
        )
    for name in sorted(ours):
        _remove(folder.resolve(), name)
    for name in (*_BEGINNINGS, _RESULT):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # it holds other files
        (folder / "runs").rmdir()


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


def _of_runs(folder: Path) -> Iterator[str]:
    """What is where the files of runs go, by us or by others; our unfinished files left out."""
    for run in sorted((folder / "runs").glob("*")):
        files = [*(run / name for name in _OF_A_RUN), *_files_below(run / "outputs")]
        for file in files:
            if os.path.lexists(file) and not file.name.startswith(SCRATCH):
                yield file.relative_to(folder).as_posix()


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in sorted(names))


def _listed(result: dict[str, Any]) -> Iterator[str]:
    """The files of runs that a result lists."""
    for run in result["runs"]:
        folder = f"runs/{run['name']}"
        names = _OF_A_RUN[:1] if run.get("kind") == "training" else _OF_A_RUN
        yield from (f"{folder}/{name}" for name in names)
        yield from (str(file) for file in run["outputs"] if str(file).startswith(f"{folder}/"))


def _opened(ledger: Path) -> TextIO:
    """Never through a link: the folder may be a checkout, and its links lead anywhere."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(ledger, flags, 0o666), "a+", encoding="utf-8", errors="replace")


def _names(ledger: TextIO) -> Iterator[str]:
    """The files of runs in it; the last line may be torn, and others may have written it."""
    for line in ledger:
        with suppress(ValueError, RecursionError):
            if isinstance(name := json.loads(line), str) and name.startswith("runs/"):
                yield name


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
