"""What an environment file asks for, as plain requirement lines that `uv pip install` takes.

Included files are merged in, so that the lines alone say whether two environments are the same.
A line that points into the repository (`./package`, `-e .`, `--find-links wheels`) makes the
environment belong to one commit. Of a conda file the pip part, the Python version, and packages
with a plain version are used; what is left out is said.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mlgate.orchestration.backends.requirement_lines import (
    SIZE_LIMIT,
    Lines,
    Read,
    Unusable,
    inside,
    text_of,
)
from mlgate.orchestration.runs import Environment

_MOST_ENTRIES = 5_000  # of a conda file
_SHOWN = 10  # of those that were left out
_ENTRY_LIMIT = 80  # characters of one
FOR_NOTEBOOKS = ("ipykernel", "nbclient", "nbconvert", "nbformat")
# Without them it cannot log into a local database, which is where a run here logs to.
FOR_SKINNY_MLFLOW = ("alembic", "sqlalchemy")

_NOT_THERE = (
    errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP,
)  # of whatever is written as a path # fmt: skip
_CONDA = re.compile(r"(?:(?P<channel>[^:\s]+)::)?(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<version>.*)$")
_CONDA_PART = re.compile(r"(?P<how>[<>=!~]=|[<>=]|)\s*(?P<version>[A-Za-z0-9*][\w.*+!]*)$")
_ANY_PATCH = re.compile(r"^(==\d+\.\d+)$")  # nobody who writes `python==3.11` means 3.11.0
_PIP_NAMES = {"pytorch": "torch", "opencv": "opencv-python", "matplotlib-base": "matplotlib"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to install. `python` is a version specifier, None for the host's own.

    `added` is what runs here need beside what the file asks for. `local`: some line points into
    the repository; such lines are relative to `folder`.
    """

    requirements: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    python: str | None = None
    folder: str = "."
    local: bool = False
    warnings: tuple[str, ...] = field(default=())


def plan(environment: Environment, root: Path, *, notebook: bool) -> Plan | None:
    """What to make for `environment`, whose files are below `root`; None: the host's own Python.

    Raises Unusable for a file that is not there or cannot be read.
    """
    if environment.requirements is not None:
        found = _of_requirements(inside(PurePosixPath(environment.requirements)), root)
    elif environment.conda_file is not None:
        found = _of_conda(inside(PurePosixPath(environment.conda_file)), root)
        if environment.image is not None:
            found = _warned(
                found, f"The image {environment.image} was ignored: no containers here."
            )
    else:
        return None
    if notebook:
        found = replace(found, added=FOR_NOTEBOOKS)
    if any(re.match(r"mlflow[-_.]skinny\b", line, re.IGNORECASE) for line in found.requirements):
        found = replace(found, added=found.added + FOR_SKINNY_MLFLOW)
    return found


def _of_requirements(file: str, root: Path) -> Plan:
    lines = Lines(_reader(root), lambda path: (root / path).exists())
    lines.add(text_of(file, _reader(root)), file)
    return _planned(lines, Plan())


def _of_conda(file: str, root: Path) -> Plan:
    import yaml  # noqa: PLC0415 -- needed for conda files alone

    try:
        content = yaml.safe_load(text_of(file, _reader(root)))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    listed = content.get("dependencies") if isinstance(content, Mapping) else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise Unusable(f"{file} has no list of dependencies.")
    found = Plan(folder=str(PurePosixPath(file).parent))  # in which conda starts pip
    left_out: list[str] = []
    if content.get("channels"):
        found = _warned(found, f"The channels of {file} were ignored: packages came from pip.")
    lines = Lines(_reader(root))
    if len(listed) > _MOST_ENTRIES:
        raise Unusable(f"{file} has more than {_MOST_ENTRIES:,} dependencies.")
    for entry in listed:
        if isinstance(entry, Mapping) and isinstance(asked := entry.get("pip"), list):
            if not all(isinstance(line, str) for line in asked):
                raise Unusable(f"A pip part of {file} is no list of requirements.")
            lines.add("\n".join(asked), file)
            continue
        name, version = _of_conda_package(entry)
        if version is None:
            left_out.append(_shown(entry))
        elif name == "python":
            found = replace(found, python=_ANY_PATCH.sub(r"\1.*", version) or None)
        elif name != "pip":
            lines.requirements.append(_PIP_NAMES.get(name, name) + version)
    if left_out:
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        named = ", ".join(left_out[:_SHOWN])
        text = f"{named}{more} of {file} was left out: pip cannot install it."
        found = _warned(found, text)
    return _planned(lines, found)


def _shown(entry: Any) -> str:
    """An entry of any kind, at a length to be read: with aliases YAML can hold a huge one."""
    if isinstance(entry, Mapping | list | set | tuple):
        return f"an entry that is a {'mapping' if isinstance(entry, Mapping) else 'list'}"
    return repr(entry if len(text := str(entry)) <= _ENTRY_LIMIT else f"{text[:_ENTRY_LIMIT]}…")


def _of_conda_package(entry: Any) -> tuple[str, str | None]:
    """Name and version specifier of a conda package; no specifier when pip cannot express it.

    conda's package match specification: `name`, `name=1.2` (any 1.2.*), `name==1.2`,
    `name>=1,<2`, `name 1.2`, each but the first with an optional `=build` or ` build`.
    """
    match = _CONDA.match(entry.strip()) if isinstance(entry, str) else None
    if match is None:
        return "", None
    name, version = match["name"].lower(), match["version"].strip()
    if not version:
        return name, ""
    loose = version.startswith("=") and not version.startswith("==")
    if version[0] not in "<>=!~":
        version = f"=={version.split()[0]}"
    version = re.sub(r"(?<=[\w*])=.*$|(?<=[\w*])\s+[^<>=!~,\s].*$", "", version)  # the build
    parts = []
    for part in version.split(","):
        match = _CONDA_PART.match(part.strip())
        if match is None:
            return name, None
        number = match["version"]
        if match["how"] in ("<", ">", "<=", ">="):
            number = number.removesuffix(".*")
        elif loose and not number.endswith("*"):
            number += ".*"
        parts.append(("==" if match["how"] in ("=", "") else match["how"]) + number)
    return name, ",".join(parts)


def _planned(lines: Lines, found: Plan) -> Plan:
    return replace(
        found,
        requirements=tuple(lines.requirements),
        constraints=tuple(lines.constraints),
        local=lines.local,
    )


def _reader(root: Path) -> Read:
    def read(file: str) -> bytes:
        try:
            with (root / file).open("rb") as content:
                return content.read(SIZE_LIMIT + 1)
        except ValueError:  # NUL
            raise KeyError(file) from None
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise KeyError(file) from None
            raise

    return read


def _warned(found: Plan, warning: str) -> Plan:
    return replace(found, warnings=(*found.warnings, warning))
