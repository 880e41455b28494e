"""Which Azure ML environment a run gets, and what the ones made of its files consist of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath

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

# The base image of Azure ML's curated environments, by a tag that theirs were checked with
# (Azure/azureml-assets, environments/ai-ml-automl/vuln-remediation-tracking.md). Patches come as
# new tags, and old ones stay (Azure/AzureML-Containers, README.md): raise it with each release.
IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1"
PYTHON = "3.12"
_FOR_NOTEBOOKS = ("ipykernel", "nbclient", "nbconvert", "nbformat")


@dataclass(frozen=True, slots=True)
class Recipe:
    """An environment to register: an image, and a conda file as text; `week` as of `week_of`.

    `warning` is for the runs that get it.
    """

    image: str
    conda: str
    week: str = ""
    warning: str | None = None

    @property
    def version(self) -> str:
        """The same for the same content and week, so that it is built once, whoever asks for it.

        Azure ML resolves what has no version when it builds, and keeps that for ever: what packages
        need, or an image's newest. So what is asked for is built again each week.
        """
        content = f"{self.image}\n{self.conda}\n{self.week}"
        return hashlib.sha256(content.encode()).hexdigest()[:20]


def week_of(now: datetime) -> str:
    """The week of ISO 8601, such as 2026-W48."""
    year, week, _ = now.isocalendar()
    return f"{year}-W{week:02}"


def key(spec: RunSpec) -> str | None:
    """What distinguishes the run's own environment in a commit; None: it needs no file of it."""
    asked = spec.environment
    if asked is None or asked.azureml is not None:
        return None
    notebook = "notebook" if spec.kind is RunKind.NOTEBOOK else "training"
    parts = (asked.requirements, asked.conda_file, asked.image, notebook)
    return "|".join(part or "" for part in parts)


def named(asked: Environment | None, default: str) -> str:
    """The reference of an environment that is there already, as a job takes it."""
    name = default if asked is None or asked.azureml is None else asked.azureml
    return name if name.startswith(("azureml:", "azureml://")) else f"azureml:{name}"


def recipe(spec: RunSpec, read: Read) -> Recipe:
    """What to register for a run with a `key`; raises Unusable."""
    asked = spec.environment or Environment()
    if asked.conda_file is not None:
        # What a notebook needs beyond it, the launcher installs beside it.
        file = inside(PurePosixPath(asked.conda_file))
        return _of_conda_file(file, read, asked.image or IMAGE)
    file = inside(PurePosixPath(asked.requirements or ""))
    packages = _packages(text_of(file, read), file, read)
    # Where one has a hash, pip asks for all of them.
    hashed = any("--hash" in line or line == "--require-hashes" for line in packages)
    named = {name_of(line) for line in packages}
    if not hashed:
        packages += plugin_lines(packages)
        if spec.kind is RunKind.NOTEBOOK:
            packages += [name for name in _FOR_NOTEBOOKS if name not in named]
    dependencies = [f"python={PYTHON}", "pip", {"pip": packages}]
    # JSON is YAML.
    conda = {"channels": ["conda-forge"], "dependencies": dependencies}
    told = None
    if hashed and lacks_plugin(named):
        told = warning(file, f"Add {PLUGIN} with its hashes, and those of what it needs.")
    return Recipe(asked.image or IMAGE, json.dumps(conda, indent=1), warning=told)


def registered(
    runs: Sequence[RunSpec], read: Read, register: Callable[[Recipe], str], week: str
) -> tuple[dict[str, str], dict[str, str]]:
    """What jobs name the runs' own environments by, and the warnings of some; both by `key`.

    Instead of a name, after `UNUSABLE`, why there is none. `register` returns a name, and is
    called once for each recipe.
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
            f"{UNUSABLE}{problem} The environment is made of {_ingredients(spec)}: mend that, or "
            "name an environment of the workspace (`azureml`)."
        )


def _ingredients(spec: RunSpec) -> str:
    asked = spec.environment or Environment()
    file = asked.conda_file or asked.requirements or ""
    return f"{file} and the image {asked.image}" if asked.image else file


def _of_conda_file(file: str, read: Read, image: str) -> Recipe:
    """The conda file with the requirements files that its pip parts include."""
    import yaml  # noqa: PLC0415 -- needed for conda files alone

    text = text_of(file, read)
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    listed = content.get("dependencies") if isinstance(content, Mapping) else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise Unusable(f"{file} has no list of dependencies.")
    changed = False
    # A package of conda's may stand behind its channel: `conda-forge::mlflow=2.9`.
    named = [name_of(each.rpartition("::")[2]) for each in listed if isinstance(each, str)]
    for entry in listed:
        if isinstance(entry, dict) and isinstance(lines := entry.get("pip"), list):
            if not all(isinstance(line, str) for line in lines):
                raise Unusable(f"A pip part of {file} is no list of requirements.")
            packages = _packages("\n".join(lines), file, read)
            named += map(name_of, packages)
            if packages != lines:
                entry["pip"], changed = packages, True
    told = warning(file, f"Add {PLUGIN} to its pip part.") if lacks_plugin(named) else None
    return Recipe(image, yaml.safe_dump(content) if changed else text, warning=told)


def _packages(text: str, file: str, read: Read) -> list[str]:
    """The lines of a requirements file, with those that it includes; raises Unusable."""
    lines = Lines(read)
    lines.add(text, file)
    if lines.local:
        raise Unusable(
            f"{file} asks for files of the repository, which are not there while Azure ML makes "
            "an environment. Name packages only, or an environment that has them."
        )
    if lines.constraints:
        raise Unusable(
            f"{file} has constraints (-c), which Azure ML's environments cannot take. Write the "
            "versions into the requirements."
        )
    return lines.requirements
