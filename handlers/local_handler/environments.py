"""Virtual environments, made once for the same requirements and shared by runs.

Each has a folder named by a key, which is made of the resolved versions: a requirement without a
version is resolved for each build. Every run that uses a folder holds its lock file shared. Making
or removing one needs the lock alone, so that it never happens to one in use. The kernel frees a
lock when its process ends in any way. A virtual environment cannot be moved, so it is made in its
place, and `ready.json`, written last, marks it as complete. What a run changes in it stays with the
run (see `views`). If the system doesn't allow that, a changed environment is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import platform
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from handlers.local_handler import trees
from handlers.local_handler.attempts import create_file, read_json, replace_file
from handlers.local_handler.installing import Installer, Runner, settings

_RESOLVED = ".resolved"
_FORGOTTEN = 7 * 86400.0  # seconds after which the versions resolved for a build are removed


class Asked(NamedTuple):
    """What an environment is made of.

    `plan` is a `requirements.Plan` as JSON, `python` is the host's own, and `snapshot` is the tree
    that the plan's relative paths point into.
    """

    plan: Mapping[str, Any]
    python: str
    snapshot: Path


class Held(NamedTuple):
    """An environment in use; it stays as long as the lock's file is open."""

    lock: IO[bytes]
    warnings: list[str]


class Shelf:
    """The environments of this host, under `root`, for a run of the build `build`.

    `guarded`: runs cannot change them, so they need not be checked for changes.
    """

    def __init__(self, root: Path, build: str, runner: Runner, *, guarded: bool) -> None:
        self._root = root
        self._build = build
        self._runner = runner
        self._guarded = guarded
        self._held: Held | None = None  # as long as this process lives

    def take(self, asked: Asked, installer: Installer, scratch: Path) -> tuple[Path, list[str]]:
        """The interpreter of the environment, which is made if needed, and warnings.

        The environment stays in use until this process ends. `scratch` is a folder that may be
        created. Raises EnvironmentFailure if the environment cannot be made.
        """
        resolved = self._resolved(asked, installer, scratch)
        for folder in _folders(self._root, asked, resolved):
            with _lock_file(folder).open("ab") as lock:
                while self._lock(lock, fcntl.LOCK_SH):
                    if (ready := self._ready(folder)) is not None:
                        self._held = _use(folder, lock, ready)
                        return interpreter(folder), self._held.warnings
                    changed = (folder / "ready.json").exists()
                    fcntl.flock(lock, fcntl.LOCK_UN)
                    if not self._lock(lock, fcntl.LOCK_EX, wait=not changed):
                        break  # others use the changed one, so try the next folder
                    if self._ready(folder) is None:
                        self._make(folder, installer, resolved)
        raise AssertionError("unreachable")

    def _resolved(self, asked: Asked, installer: Installer, scratch: Path) -> list[str]:
        """The resolved versions, which are the same for all runs of the build."""
        memory = _memory(self._root, asked, self._build)
        found = _remembered(memory)
        if found is None:
            found = installer.resolve(scratch)
            trees.remove_tree(scratch)
            if not create_file(memory, json.dumps(found).encode()):  # another run was quicker
                found = _remembered(memory) or found
        return found

    def _ready(self, folder: Path) -> Mapping[str, Any] | None:
        record = _ready(folder)
        return record if record and (self._guarded or record["state"] == _state(folder)) else None

    def _lock(self, file: IO[bytes], how: int, *, wait: bool = True) -> bool:
        while True:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    return False
                self._runner.attend(0.2)
            else:
                return True

    def _make(self, folder: Path, installer: Installer, resolved: Sequence[str]) -> None:
        warnings = installer.make_empty(folder)
        installer.install(folder, resolved)
        record = {"warnings": warnings, "state": _state(folder), "bytes": _size(folder)}
        replace_file(folder / "ready.json", json.dumps(record).encode())


def find(root: Path, asked: Asked, build: str) -> Path | None:
    """The folder of the environment, if a run of the build resolved it before and it is ready."""
    resolved = _remembered(_memory(root, asked, build))
    if resolved is None:
        return None
    for folder in _folders(root, asked, resolved):
        if not (folder / "ready.json").exists():
            return None
        if _ready(folder) is not None:
            return folder
    raise AssertionError("unreachable")


def interpreter(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def hold(folder: Path) -> Held | None:
    """Use the environment in a folder that was found; None if it is no longer ready."""
    with _lock_file(folder).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        ready = _ready(folder)
        return _use(folder, lock, ready) if ready is not None else None


def prune(root: Path, limit: int) -> None:
    """Remove broken environments, then those used longest ago, down to `limit` bytes.

    Environments that are in use or being made stay.
    """
    used = []
    for memory in root.glob(f"*{_RESOLVED}"):
        if time.time() - memory.stat().st_mtime > _FORGOTTEN:
            memory.unlink(missing_ok=True)
    for folder in (path for path in root.glob("*") if path.is_dir()):
        record = _record(folder)
        when = (folder / "ready.json").stat().st_mtime if record else 0.0
        used.append((when, folder, record["bytes"] if record else 0))
    total = sum(size for _, _, size in used)
    for when, folder, size in sorted(used):
        if total <= limit and when:
            return
        with _lock_file(folder).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            trees.remove_tree(folder)
            total -= size


def _folders(root: Path, asked: Asked, resolved: Sequence[str]) -> Iterator[Path]:
    """The folders where the environment is or may be made, without end: a changed one may still be
    in use."""
    key = _key(asked, *resolved)
    return (root / f"{key}-{number}" for number in itertools.count())


def _memory(root: Path, asked: Asked, build: str) -> Path:
    return root / f"{_key(asked)}-{build}{_RESOLVED}"


def _remembered(memory: Path) -> list[str] | None:
    lines = read_json(memory)
    return list(map(str, lines)) if isinstance(lines, list) else None


def _key(asked: Asked, *resolved: str) -> str:
    """A hash of the content, the Python, and the sources of packages."""
    plan = asked.plan
    program = Path(asked.python).resolve()  # its time shows that it was replaced or upgraded
    named = [plan["requirements"], plan["added"], plan["constraints"], plan["python"]]
    named += [platform.machine(), str(program), program.stat().st_mtime_ns]
    named += [asked.snapshot.name, plan["folder"]] if plan["local"] else []
    named += [settings(os.environ), resolved]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:24]


def _use(folder: Path, lock: IO[bytes], ready: Mapping[str, Any]) -> Held:
    os.utime(folder / "ready.json")
    return Held(os.fdopen(os.dup(lock.fileno()), "ab"), [str(text) for text in ready["warnings"]])


def _ready(folder: Path) -> Mapping[str, Any] | None:
    """The record of an environment, if it is complete and there."""
    record = _record(folder)
    return record if record and interpreter(folder).exists() else None


def _record(folder: Path) -> Mapping[str, Any] | None:
    """The record written when an environment was complete; None if a run damaged it."""
    record = read_json(folder / "ready.json")
    kinds = {"warnings": list, "state": str, "bytes": int}
    if not isinstance(record, dict):
        return None
    return record if all(isinstance(record.get(key), kinds[key]) for key in kinds) else None


def _state(folder: Path) -> str:
    """A hash that changes with any file of the environment, except bytecode."""
    found = hashlib.sha256()
    waiting = [str(folder / "venv"), str(folder / "tree")]
    while waiting:
        directory = waiting.pop()
        with suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                status = entry.stat(follow_symlinks=False)
                if entry.name == "__pycache__":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                # Nobody can set a file's ctime.
                when = 0 if stat.S_ISDIR(status.st_mode) else status.st_ctime_ns
                found.update(f"{entry.path}\0{when}\0".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _size(folder: Path) -> int:
    return sum(
        Path(directory, name).lstat().st_size
        for directory, _, names in os.walk(folder)
        for name in names
    )
