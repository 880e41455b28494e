"""Which Azure ML environment a run gets, and how one is made from the run's files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from handlers.azureml_handler.plugin import PLUGIN, lacks_plugin, plugin_lines, warning
from handlers.azureml_handler.snapshots import UNUSABLE
from mlgate.orchestration.backends.requirement_lines import (
    Lines,
    Read,
    Unusable,
    inside,
    name_of,
    text_of,
)
from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.runs import Environment, RunKind, RunSpec

# The base image of Azure ML's curated environments, at a tag that those were checked with
# (Azure/azureml-assets, environments/ai-ml-automl/vuln-remediation-tracking.md). Patches come as
# new tags, and old ones stay (Azure/AzureML-Containers, README.md): raise it with each release.
IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1"
PYTHON = "3.12"
_WITH_HASHES = f"Add {PLUGIN} with its hashes, and those of what it needs."
_CURATED = "AzureML-"  # how the names of Azure ML's old environments begin
_FOR_NOTEBOOKS = ("ipykernel", "nbclient", "nbconvert", "nbformat")


@dataclass(frozen=True, slots=True)
class Recipe:
    """An environment to register: an image, and a conda file as text; `week` as of `week_of`.

    `warning` is for the runs that use it.
    """

    image: str
    conda: str
    week: str = ""
    warning: str | None = None

    @property
    def version(self) -> str:
        """The same for the same content and week, so that each environment is built only once.

        When Azure ML builds one, it resolves what has no version (what packages need, an image's
        newest tag), and keeps that for ever. So environments are built again each week.
        """
        content = f"{self.image}\n{self.conda}\n{self.week}"
        return hashlib.sha256(content.encode()).hexdigest()[:20]


def week_of(now: datetime) -> str:
    """The week of ISO 8601, such as 2026-W48."""
    year, week, _ = now.isocalendar()
    return f"{year}-W{week:02}"


def key(spec: RunSpec) -> str | None:
    """Identifies the run's own environment in a commit; None if it needs no file of the commit."""
    asked = spec.environment
    if asked is None or asked.azureml is not None:
        return None
    notebook = "notebook" if spec.kind is RunKind.NOTEBOOK else "training"
    parts = (asked.requirements, asked.conda_file, asked.image, notebook)
    return "|".join(part or "" for part in parts)


def named(asked: Environment | None, default: str) -> str:
    """The reference of an existing environment, as jobs write it."""
    name = default if asked is None or asked.azureml is None else asked.azureml
    plain = name.removeprefix("azureml:")
    if "@" in plain and "://" not in plain and not plain.startswith(_CURATED):
        return plain  # azure-ai-ml takes the prefix for a part of a name with a label
    return name if name.startswith(("azureml:", "azureml://")) else f"azureml:{name}"


def recipe(spec: RunSpec, read: Read) -> Recipe:
    """What to register for a run with a `key`; raises Unusable."""
    asked = spec.environment or Environment()
    if asked.conda_file is not None:
        # The launcher installs what else a notebook needs.
        file = inside(PurePosixPath(asked.conda_file))
        return _of_conda_file(file, read, asked.image or IMAGE)
    file = inside(PurePosixPath(asked.requirements or ""))
    packages = _packages(text_of(file, read), file, read)
    named = {name_of(line) for line in packages}
    hashed = _is_hashed(packages)
    if not hashed:
        packages += plugin_lines(packages)
        if spec.kind is RunKind.NOTEBOOK:
            packages += [name for name in _FOR_NOTEBOOKS if name not in named]
    dependencies = [f"python={PYTHON}", "pip", {"pip": packages}]
    # JSON is YAML.
    conda = {"channels": ["conda-forge"], "dependencies": dependencies}
    note = None
    if hashed and lacks_plugin(named):
        note = warning(file, _WITH_HASHES)
    return Recipe(asked.image or IMAGE, json.dumps(conda, indent=1), warning=note)


def registered(
    runs: Sequence[RunSpec], read: Read, register: Callable[[Recipe], str], week: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The names of the runs' own environments in jobs, and the warnings of some; both by `key`.

    If there is no name, `UNUSABLE` and the reason are in its place. `register` returns a name, and
    is called once for each recipe.
    """
    names: dict[str, str] = {}
    warnings: dict[str, str] = {}
    made: dict[str, str] = {}
    for spec in runs:
        own = key(spec)
        if own is None or own in names:
            continue
        try:
            content = replace(recipe(spec, read), week=week)
        except Unusable as problem:
            names[own] = f"{UNUSABLE}{problem}"
            continue
        if content.version not in made:
            made[content.version] = _registered(spec, content, register)
        names[own] = made[content.version]
        if content.warning:
            warnings[own] = content.warning
    return names, warnings


def _registered(spec: RunSpec, content: Recipe, register: Callable[[Recipe], str]) -> str:
    try:
        return register(content)
    except UnfitHost:
        raise
    except Permanent as problem:
        return (
            f"{UNUSABLE}{problem} The environment is made from {_ingredients(spec)}. Fix that, or "
            "name an environment of the workspace (`azureml`)."
        )


def _ingredients(spec: RunSpec) -> str:
    asked = spec.environment or Environment()
    file = asked.conda_file or asked.requirements or ""
    return f"{file} and the image {asked.image}" if asked.image else file


def _of_conda_file(file: str, read: Read, image: str) -> Recipe:
    """The conda file, with the requirements files that its pip parts include merged in."""
    import yaml  # noqa: PLC0415 -- needed for conda files alone

    text = text_of(file, read)
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    listed = content.get("dependencies") if isinstance(content, Mapping) else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise Unusable(f"{file} has no list of dependencies.")
    # A conda package may come after its channel: `conda-forge::mlflow=2.9`.
    named = [each.rpartition("::")[2] for each in listed if isinstance(each, str)]
    parts, changed = [], False
    for entry in listed:
        if isinstance(entry, dict) and isinstance(lines := entry.get("pip"), list):
            if not all(isinstance(line, str) for line in lines):
                raise Unusable(f"A pip part of {file} is not a list of requirements.")
            packages = _packages("\n".join(lines), file, read)
            named += packages
            parts.append(packages)
            if packages != lines:
                entry["pip"], changed = packages, True
    added, note = plugin_lines(named), None
    if added and any(map(_is_hashed, parts)):
        note = warning(file, _WITH_HASHES)
    elif added:
        content["dependencies"] = _with_pip(listed, added)
        changed = True
    return Recipe(image, yaml.safe_dump(content) if changed else text, warning=note)


def _with_pip(listed: Sequence[Any], added: Sequence[str]) -> list[Any]:
    """A conda file's dependencies, with more lines in its pip part, which it may not have yet."""
    made = list(listed)
    for at, entry in reversed(list(enumerate(made))):  # conda uses the last part
        if isinstance(entry, dict) and isinstance(entry.get("pip"), list):
            made[at] = {**entry, "pip": [*entry["pip"], *added]}
            return made
    conda = (name_of(each.rpartition("::")[2]) for each in made if isinstance(each, str))
    return [*made, *([] if "pip" in conda else ["pip"]), {"pip": list(added)}]


def _is_hashed(packages: Sequence[str]) -> bool:
    """Whether pip requires hashes for all lines, as it does if one has them."""
    return any("--hash" in line or line == "--require-hashes" for line in packages)


def _packages(text: str, file: str, read: Read) -> list[str]:
    """The lines of a requirements file, with those that it includes; raises Unusable."""
    lines = Lines(read)
    lines.add(text, file)
    if lines.local:
        raise Unusable(
            f"{file} names files of the repository, which are not available while Azure ML builds "
            "an environment. Name packages only, or an environment that has them."
        )
    if lines.constraints:
        raise Unusable(
            f"{file} has constraints (-c), which Azure ML's environments cannot use. Put the "
            "versions in the requirements."
        )
    return lines.requirements
