"""Reads an environment file into plain requirement lines for `uv pip install`.

Included files are merged in, so two environments are the same exactly if their lines are. A line
that points into the repository (`./package`, `-e .`, `--find-links wheels`) ties the environment to
one commit. Of a conda file the pip part, the Python version, and packages with a plain version are
used; a warning names what is left out.
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
# Without them it cannot log to a local database, as runs do here.
FOR_SKINNY_MLFLOW = ("alembic", "sqlalchemy")

_NOT_THERE = (
    errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP,
)  # errors that only mean that the path leads to no file # fmt: skip
_CONDA = re.compile(r"(?:(?P<channel>[^:\s]+)::)?(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<version>.*)$")
_CONDA_PART = re.compile(r"(?P<how>[<>=!~]=|[<>=]|)\s*(?P<version>[A-Za-z0-9*][\w.*+!]*)$")
_ANY_PATCH = re.compile(r"^(==\d+\.\d+)$")  # `python==3.11` means 3.11.*, not 3.11.0
_PIP_NAMES = {"pytorch": "torch", "opencv": "opencv-python", "matplotlib-base": "matplotlib"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to install. `python` is a version specifier, None for the host's own.

    `added` is what runs here need besides what the file names. `local`: some line points into the
    repository; such lines are relative to `folder`.
    """

    requirements: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    python: str | None = None
    folder: str = "."
    local: bool = False
    warnings: tuple[str, ...] = field(default=())


def plan(environment: Environment, root: Path, *, notebook: bool) -> Plan | None:
    """The plan for `environment`, whose files are below `root`; None for the host's own Python.

    Raises Unusable if a file is missing or cannot be read.
    """
    if environment.requirements is not None:
        found = _of_requirements(inside(PurePosixPath(environment.requirements)), root)
    elif environment.conda_file is not None:
        found = _of_conda(inside(PurePosixPath(environment.conda_file)), root)
        if environment.image is not None:
            found = _warned(
                found, f"The image {environment.image} was ignored: local runs use no containers."
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
    import yaml  # noqa: PLC0415 -- needed only for conda files

    try:
        content = yaml.safe_load(text_of(file, _reader(root)))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    listed = content.get("dependencies") if isinstance(content, Mapping) else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise Unusable(f"{file} has no list of dependencies.")
    found = Plan(folder=str(PurePosixPath(file).parent))  # conda starts pip in this folder
    left_out: list[str] = []
    if content.get("channels"):
        text = f"The channels of {file} were ignored: packages were installed with pip."
        found = _warned(found, text)
    lines = Lines(_reader(root))
    if len(listed) > _MOST_ENTRIES:
        raise Unusable(f"{file} has more than {_MOST_ENTRIES:,} dependencies.")
    for entry in listed:
        if isinstance(entry, Mapping) and isinstance(asked := entry.get("pip"), list):
            if not all(isinstance(line, str) for line in asked):
                raise Unusable(f"A pip part of {file} is not a list of requirements.")
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
        text = f"Left out of {file} because pip cannot install them: {named}{more}."
        found = _warned(found, text)
    return _planned(lines, found)


def _shown(entry: Any) -> str:
    """An entry of any kind, kept short: with aliases, YAML can hold a huge one."""
    if isinstance(entry, Mapping | list | set | tuple):
        return f"an entry that is a {'mapping' if isinstance(entry, Mapping) else 'list'}"
    return repr(entry if len(text := str(entry)) <= _ENTRY_LIMIT else f"{text[:_ENTRY_LIMIT]}…")


def _of_conda_package(entry: Any) -> tuple[str, str | None]:
    """Name and version specifier of a conda package; no specifier if pip cannot express it.

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
