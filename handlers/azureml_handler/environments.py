"""Which Azure ML environment a run gets, and what the ones made of its files consist of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from handlers.azureml_handler.snapshots import UNUSABLE
from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.requirementlines import (
    Lines,
    Read,
    Unusable,
    inside,
    name_of,
    text_of,
)
from mlgate.orchestration.runs import Environment, RunKind, RunSpec

# The base image of Azure ML's own documentation for environments that are made of a conda file.
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
PYTHON = "3.11"
_FOR_NOTEBOOKS = ("ipykernel", "nbclient", "nbconvert", "nbformat")


@dataclass(frozen=True, slots=True)
class Recipe:
    """An environment to register: an image, and a conda file as text."""

    image: str
    conda: str

    @property
    def version(self) -> str:
        """The same for the same content, so that it is built once, whoever asks for it."""
        return hashlib.sha256(f"{self.image}\n{self.conda}".encode()).hexdigest()[:20]


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
        return Recipe(asked.image or IMAGE, _conda(text_of(file, read), file, read))
    file = inside(PurePosixPath(asked.requirements or ""))
    packages = _packages(text_of(file, read), file, read)
    # Where one has a hash, pip asks for all of them.
    if spec.kind is RunKind.NOTEBOOK and not any("--hash" in line for line in packages):
        named = {name_of(line) for line in packages}
        packages += [name for name in _FOR_NOTEBOOKS if name not in named]
    dependencies = [f"python={PYTHON}", "pip", {"pip": packages}]
    # JSON is YAML.
    conda = {"channels": ["conda-forge"], "dependencies": dependencies}
    return Recipe(asked.image or IMAGE, json.dumps(conda, indent=1))


def registered(
    runs: Sequence[RunSpec], read: Read, register: Callable[[Recipe], str]
) -> dict[str, str]:
    """What jobs name the runs' own environments by, by `key`; after `UNUSABLE`, why there is none.

    `register` returns such a name, and is called once for each recipe.
    """
    names: dict[str, str] = {}
    made: dict[str, str] = {}
    for spec in runs:
        own = key(spec)
        if own is None or own in names:
            continue
        try:
            content = recipe(spec, read)
        except Unusable as problem:
            names[own] = f"{UNUSABLE}{problem}"
            continue
        if content.version not in made:
            made[content.version] = _registered(spec, content, register)
        names[own] = made[content.version]
    return names


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


def _conda(text: str, file: str, read: Read) -> str:
    """The conda file with the requirements files that its pip parts include."""
    import yaml  # noqa: PLC0415 -- needed for conda files alone

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    listed = content.get("dependencies") if isinstance(content, Mapping) else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise Unusable(f"{file} has no list of dependencies.")
    changed = False
    for entry in listed:
        if isinstance(entry, dict) and isinstance(lines := entry.get("pip"), list):
            if not all(isinstance(line, str) for line in lines):
                raise Unusable(f"A pip part of {file} is no list of requirements.")
            packages = _packages("\n".join(lines), file, read)
            if packages != lines:
                entry["pip"], changed = packages, True
    return yaml.safe_dump(content) if changed else text


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
