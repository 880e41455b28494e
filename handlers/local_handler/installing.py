"""Makes environments with `uv`: resolves requirements and installs them.

uv behaves the same wherever the home is: it reads the configuration of the user or the machine, but
not that of a project that happens to surround the home.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from handlers.local_handler import interpreters, trees
from handlers.local_handler.attempts import read_file
from handlers.local_handler.variables import for_run, without_credentials

SUPPORTED = ((3, 11), (3, 13))  # the lowest and highest Python version that runs are executed with

_VARIABLES = {
    "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1",
    # Else a change in an environment could write to files of the user's cache.
    "UV_LINK_MODE": "copy",
    "GIT_TERMINAL_PROMPT": "0", "GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60",
}  # a row a line # fmt: skip
# The machine's store of certificate authorities also knows those of the local network.
_SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
if _SYSTEM_AUTHORITIES.exists():
    _VARIABLES["UV_SYSTEM_CERTS"] = "true"
_NETWORK = re.compile(
    r"error sending request|dns error|tcp connect error|timed out|connection (refused|reset)"
    r"|server error \(5\d\d|could not resolve host|failed to connect"
    r"|operation too slow|the remote end hung up",
    re.IGNORECASE,
)
_HEAD, _TAIL = 300, 1200  # characters of uv's error that are shown; the reason is at its end
_HASH = re.compile(r"\s+--hash[=\s]\s*\S+")
_HASHES = "--require-hashes"
_PINNED = re.compile(r"[A-Za-z0-9][\w.-]*==[^\s;@]+")


class EnvironmentFailure(Exception):
    """An environment that cannot be made; `kind` is "environment" or "network"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Runner(Protocol):
    """What making environments needs of the supervisor. Both raise if the run must end."""

    def execute(self, command: Sequence[str], directory: Path, more: Mapping[str, str]) -> int: ...

    def attend(self, seconds: float = 0.0) -> None: ...


def settings(variables: Mapping[str, str]) -> str:
    """A hash of the settings, outside an environment's files, of where packages come from."""
    given = for_run({name: value for name, value in variables.items() if name.startswith("UV_")})
    file = _configuration(variables)
    content = (read_file(file, 1 << 20) or b"") if file else b""
    return hashlib.sha256(f"{sorted(given.items())}".encode() + content).hexdigest()


class Installer:
    """Makes the environment of a plan, which is a `requirements.Plan` as JSON.

    The runner's programs write to `log`. `python` is the host's own; `snapshot` is the tree that
    the plan's relative paths point into. Each method raises EnvironmentFailure.
    """

    def __init__(
        self,
        uv: str,
        runner: Runner,
        log: Path,
        plan: Mapping[str, Any],
        python: str,
        snapshot: Path,
    ) -> None:
        self._uv = uv
        self._runner = runner
        self._log = log
        self._plan = plan
        self._python = python
        self._snapshot = snapshot

    def resolve(self, scratch: Path) -> list[str]:
        """The versions of all packages, as requirement lines; `scratch` is a folder to create."""
        plan = self._plan
        lines = [_HASH.sub("", line) for line in plan["requirements"] if line != _HASHES]
        lines += plan["added"]
        if not lines:
            return []
        self.make_empty(scratch)
        directory = self._directory(scratch)
        named = _write(directory, {"": lines, "-c": plan["constraints"]})
        found = scratch / "resolved.txt"
        how = ["--quiet", "--no-header", "--no-annotate", "--output-file", str(found)]
        self._does(["pip", "compile", *how, "--python", _of(scratch), *named], directory)
        text = found.read_text("utf-8").replace(str(scratch.resolve()), "")
        return text.replace(str(scratch), "").splitlines()

    def make_empty(self, folder: Path) -> list[str]:
        """Make the folder with a virtual environment `venv` without packages; returns warnings."""
        trees.remove_tree(folder)
        folder.mkdir(parents=True)
        asked = self._plan["python"]
        if asked and self._makes_venv(folder, asked):
            return []
        if not self._makes_venv(folder, self._python):
            raise self._failure()
        if not asked:
            return []
        return [
            f"Python {asked} is not installed on this host or not supported for runs "
            f"(3.{SUPPORTED[0][1]} to 3.{SUPPORTED[1][1]} are): the host's own Python was used."
        ]

    def install(self, folder: Path, resolved: Sequence[str]) -> None:
        """Install the plan's packages, in the versions of `resolved`, in what `make_empty` made."""
        plan = self._plan
        self._add_pip(folder)
        directory = self._directory(folder)
        pins = [line for line in resolved if _PINNED.fullmatch(line)]
        parts = [[*plan["requirements"], *plan["added"]]]
        if _HASHES in plan["requirements"] or any(map(_HASH.search, plan["requirements"])):
            # If one package has a hash, each must have one. The added packages have none, so they
            # are installed on their own.
            options = [line for line in plan["requirements"] if line.startswith("-")]
            parts = [
                list(plan["requirements"]),
                [*(line for line in options if line != _HASHES), *plan["added"]],
            ]
            if not plan["added"]:
                parts.pop()
        for lines in filter(None, parts):
            named = _write(directory, {"-r": lines, "-c": [*plan["constraints"], *pins]})
            self._does(["pip", "install", "--python", _of(folder), *named], directory)

    def _directory(self, folder: Path) -> Path:
        """The folder that the plan's relative paths start from; copies the snapshot if needed."""
        if not self._plan["local"]:
            return folder
        trees.copy_tree(self._snapshot, folder / "tree")
        return Path(folder, "tree", self._plan["folder"])

    def _add_pip(self, folder: Path) -> None:
        """Install the pip that comes with Python, which needs no index; else one from the index."""
        wheels = [
            str(wheel)
            for beneath in interpreters.folders(Path(_of(folder)))
            for wheel in beneath.glob("ensurepip/_bundled/pip-*.whl")
        ]
        where = ["--no-index", wheels[-1]] if wheels else ["pip"]
        self._does(["pip", "install", "--python", _of(folder), *where], folder)

    def _makes_venv(self, folder: Path, python: str) -> bool:
        """Make a virtual environment without packages; false if that Python cannot be used."""
        trees.remove_tree(folder / "venv")
        # The host's own Python need not be on the path, and uv looks for a version only there.
        own = str(Path(self._python).resolve().parent)
        path = {"PATH": os.pathsep.join(filter(None, (own, os.environ.get("PATH"))))}
        if self._run(["venv", "--no-project", "--python", python, "venv"], folder, path) != 0:
            return False
        configuration = (folder / "venv" / "pyvenv.cfg").read_text(encoding="utf-8")
        version = re.search(r"^version_info = (\d+)\.(\d+)", configuration, re.MULTILINE)
        return version is not None and SUPPORTED[0] <= _numbers(version) <= SUPPORTED[1]

    def _does(self, arguments: list[str], directory: Path) -> None:
        if self._run(arguments, directory) != 0:
            raise self._failure()

    def _run(
        self, arguments: list[str], directory: Path, more: Mapping[str, str] | None = None
    ) -> int:
        file = _configuration(os.environ)
        where = {"UV_CONFIG_FILE": str(file)} if file else {"UV_NO_CONFIG": "1"}
        return self._runner.execute(
            [self._uv, *arguments], directory, {**_VARIABLES, **where, **(more or {})}
        )

    def _failure(self) -> EnvironmentFailure:
        said = (read_file(self._log, 16_000, end=True) or b"").decode("utf-8", "replace")
        words = without_credentials(" ".join(said[said.rfind("\nerror:") + 1 :].split()))
        kind = "network" if _NETWORK.search(words) else "environment"
        if len(words) > _HEAD + _TAIL:
            words = f"{words[:_HEAD]} … {words[-_TAIL:]}"
        return EnvironmentFailure(kind, f"The environment could not be made: {words}")


def _configuration(variables: Mapping[str, str]) -> Path | None:
    """The configuration file of uv: the user's, or else the machine's."""
    if named := variables.get("UV_CONFIG_FILE"):
        return Path(named)
    users = Path(variables.get("HOME") or "/", ".config", "uv", "uv.toml")
    return next((file for file in (users, Path("/etc/uv/uv.toml")) if file.is_file()), None)


def _write(directory: Path, files: Mapping[str, Sequence[str]]) -> list[str]:
    """Write files of requirement lines; returns the arguments that name them."""
    arguments = []
    for option, lines in files.items():
        path = directory / f".mlgate{option}.txt"  # paths in it are relative to its folder
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        arguments += [option, str(path)] if option else [str(path)]
    return arguments


def _of(folder: Path) -> str:
    return str(folder / "venv" / "bin" / "python")


def _numbers(version: re.Match[str]) -> tuple[int, int]:
    return int(version[1]), int(version[2])
