"""Virtual environments, made once per content of what was asked for and shared by the runs.

One folder per key. Its lock file is held shared by every run that uses it, and alone by whoever
makes or removes it, so that neither happens to one in use; the kernel frees a lock when its
process ends, however it ends. A virtual environment cannot be moved, so it is made in its place,
and `ready.json`, written last, says that it is whole. A run that installed something into it has
changed it for the others: it is not ready any more, and is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from handlers.local_handler import trees
from handlers.local_handler.attempts import read_file, read_json, replace_file

SUPPORTED = ((3, 11), (3, 13))  # Python versions that the launcher runs on: the least, the most

_UV_VARIABLES = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
# Where the machine has a store of certificate authorities, it knows the network's own as well.
_SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
if _SYSTEM_AUTHORITIES.exists():
    _UV_VARIABLES["UV_SYSTEM_CERTS"] = "true"
_NETWORK = re.compile(
    r"error sending request|dns error|tcp connect error|timed out|connection (refused|reset)"
    r"|server error \(5\d\d|could not resolve host|failed to connect",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class EnvironmentFailure(Exception):
    """An environment that cannot be made; `kind` is "environment" or "network"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Runner(Protocol):
    """The supervisor, as the making of environments sees it; both raise when the run shall end."""

    def execute(self, command: Sequence[str], directory: Path, more: Mapping[str, str]) -> int: ...

    def attend(self, seconds: float = 0.0) -> None: ...


class Held(NamedTuple):
    """An environment in use: while the lock's file is open, it stays."""

    lock: IO[bytes]
    warnings: list[str]


class Shelf:
    """The environments of this host, under `root`; `log` is where the runner's programs write."""

    def __init__(self, root: Path, uv: str, runner: Runner, log: Path) -> None:
        self._root = root
        self._uv = uv
        self._runner = runner
        self._log = log
        self._held: Held | None = None  # as long as this process lives

    def take(self, plan: Mapping[str, Any], python: str, snapshot: Path) -> tuple[Path, list[str]]:
        """The interpreter of the environment planned, made if need be, and warnings.

        It is in use, and so stays, until this process ends. `python` is the host's own,
        `snapshot` the tree that the plan's relative paths point into. EnvironmentFailure when it
        cannot be made.
        """
        for folder in _folders(self._root, plan, python, snapshot):
            with _lock_file(folder).open("ab") as lock:
                while self._lock(lock, fcntl.LOCK_SH):
                    if (ready := _ready(folder)) is not None:
                        self._held = _use(folder, lock, ready)
                        return interpreter(folder), self._held.warnings
                    changed = (folder / "ready.json").exists()
                    fcntl.flock(lock, fcntl.LOCK_UN)
                    if not self._lock(lock, fcntl.LOCK_EX, wait=not changed):
                        break  # others use it as it is now: leave it to them
                    if _ready(folder) is None:
                        self._make(folder, plan, python, snapshot)
        raise AssertionError("unreachable")

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

    def _make(self, folder: Path, plan: Mapping[str, Any], python: str, snapshot: Path) -> None:
        trees.remove_tree(folder)
        folder.mkdir()
        warnings = []
        if plan["python"] and not self._make_empty(folder, plan["python"]):
            warnings.append(
                f"Python {plan['python']} is not on this host, or not one that runs are executed "
                f"with (3.{SUPPORTED[0][1]} to 3.{SUPPORTED[1][1]}): the host's own was used."
            )
        if (not plan["python"] or warnings) and not self._make_empty(folder, python):
            raise self._failure()
        directory = folder
        if plan["local"]:
            trees.copy_tree(snapshot, folder / "tree")
            directory = folder / "tree" / plan["folder"]
        files = []
        for option, lines in (("-r", plan["requirements"]), ("-c", plan["constraints"])):
            path = directory / f".mlgate{option}.txt"  # relative paths in it are from its folder
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            files += [option, str(path)]
        if plan["requirements"] and not self._uv_does(
            ["pip", "install", "--python", str(interpreter(folder)), *files], directory
        ):
            raise self._failure()
        record = {"warnings": warnings, "packages": _packages(folder), "bytes": _size(folder)}
        replace_file(folder / "ready.json", json.dumps(record).encode())

    def _make_empty(self, folder: Path, python: str) -> bool:
        """Make a virtual environment without packages; false when that Python cannot be used."""
        trees.remove_tree(folder / "venv")
        made = self._uv_does(["venv", "--no-project", "--python", python, "venv"], folder)
        if not made:
            return False
        configuration = (folder / "venv" / "pyvenv.cfg").read_text(encoding="utf-8")
        version = re.search(r"^version_info = (\d+)\.(\d+)", configuration, re.MULTILINE)
        return version is not None and SUPPORTED[0] <= _numbers(version) <= SUPPORTED[1]

    def _uv_does(self, arguments: list[str], directory: Path) -> bool:
        return self._runner.execute([self._uv, *arguments], directory, _UV_VARIABLES) == 0

    def _failure(self) -> EnvironmentFailure:
        said = (read_file(self._log, 8000, end=True) or b"").decode("utf-8", "replace")
        start = said.rfind("\nerror:") + 1
        sentence = _CREDENTIALS.sub("***@", " ".join(said[start:].split()))[:1500]
        kind = "network" if _NETWORK.search(sentence) else "environment"
        return EnvironmentFailure(kind, f"The environment could not be made: {sentence}")


def find(root: Path, plan: Mapping[str, Any], python: str, snapshot: Path) -> Path | None:
    """The folder of the environment planned, if it is ready; arguments as of `Shelf.take`."""
    for folder in _folders(root, plan, python, snapshot):
        if not (folder / "ready.json").exists():
            return None
        if _ready(folder) is not None:
            return folder
    raise AssertionError("unreachable")


def interpreter(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def hold(folder: Path) -> Held | None:
    """Use the environment in a folder that was found; None when it is not as it was any more."""
    with _lock_file(folder).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        ready = _ready(folder)
        return _use(folder, lock, ready) if ready is not None else None


def prune(root: Path, limit: int) -> None:
    """Remove what is broken, and of the rest what was used longest ago, down to `limit` bytes.

    None that is in use, or being made.
    """
    used = []
    for folder in (path for path in root.glob("*") if path.is_dir()):
        record = read_json(folder / "ready.json")
        whole = isinstance(record, dict)
        when = (folder / "ready.json").stat().st_mtime if whole else 0.0
        used.append((when, folder, int(record["bytes"]) if whole else 0))
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


def _folders(root: Path, plan: Mapping[str, Any], python: str, snapshot: Path) -> Iterator[Path]:
    """Where the environment planned is or may be made, without end: one may be used as it is."""
    program = Path(python).resolve()  # another one, or another version, by its time
    asked = [plan["requirements"], plan["constraints"], plan["python"], platform.machine()]
    asked += [str(program), program.stat().st_mtime_ns]
    asked += [snapshot.name, plan["folder"]] if plan["local"] else []
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:24]
    return (root / f"{key}-{number}" for number in itertools.count())


def _use(folder: Path, lock: IO[bytes], ready: Mapping[str, Any]) -> Held:
    os.utime(folder / "ready.json")
    return Held(os.fdopen(os.dup(lock.fileno()), "ab"), [str(text) for text in ready["warnings"]])


def _ready(folder: Path) -> Mapping[str, Any] | None:
    """The record of an environment that is whole and as it was made."""
    record = read_json(folder / "ready.json")
    if not isinstance(record, dict) or not interpreter(folder).exists():
        return None
    return record if record["packages"] == _packages(folder) else None


def _packages(folder: Path) -> list[str]:
    """What is installed: names of packages, and of folders that hold their version."""
    found = (folder / "venv" / "lib").glob("python*/site-packages/*")
    return sorted(path.name for path in found if path.name != "__pycache__")


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _size(folder: Path) -> int:
    return sum(
        Path(directory, name).lstat().st_size
        for directory, _, names in os.walk(folder)
        for name in names
    )


def _numbers(version: re.Match[str]) -> tuple[int, int]:
    return int(version[1]), int(version[2])
