"""A promoted version as a model of the workspace: what has to be written there. Pure.

A model's version is named by the id of its content, so registering it again makes no second one;
numbers are left to people and to the service. Only versions that mlgate registered are changed,
which their tags show. The path names the job's output, by which the service knows the job
(learn.microsoft.com, "Work with registered models": `azureml://jobs/.../outputs/...`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from handlers.azureml_handler.answers import part, text
from handlers.azureml_handler.workspace import OUTPUT
from mlgate.orchestration.backends.launching import KEPT
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.ports import Kept, Registration

OURS = "mlgate.version"
ENTRY = "mlgate.entry"
CURRENT, ROLLED_BACK = "mlgate.current", "mlgate.rolled_back"
_TYPES = {"mlflow": "mlflow_model"}  # by a manifest's format; any other is the service's "custom"
# What the SDK sends to change a version, except what the service decides.
_SENT = (
    "description",
    "properties",
    "tags",
    "isAnonymous",
    "isArchived",
    "flavors",
    "modelType",
    "modelUri",
    "jobName",
)


@dataclass(frozen=True, slots=True)
class Change:
    """A version of the model to create, or whose tags to replace."""

    version: str
    properties: Mapping[str, Any]


def changes(made: Registration, listed: Iterable[Mapping[str, Any]]) -> Iterator[Change]:
    """What to write, the version itself first; nothing if all is there.

    `listed` are the model's versions. Raises Permanent if mlgate did not register the version, or
    if it is missing and its build's files are gone.
    """
    there = {text(each, "name"): each for each in listed}
    others = [each for name, each in there.items() if name != made.version and _ours(each)]
    current = made.current and all(_number(each) <= made.number for each in others)
    marks = {CURRENT: "true" if current else "false", ROLLED_BACK: "false"}
    tags = {**made.tags, OURS: made.version, **marks}
    known = there.get(made.version)
    if known is not None and not _ours(known):
        raise Permanent(
            f"The workspace has a version {made.version} of the model {made.model} that mlgate did "
            "not register. Delete it, or give the model another name in the message."
        )
    if known is not None:
        yield from _tagged(made.version, known, tags)
    elif made.create:
        yield Change(made.version, _new(made, tags))
    for each in others if current else ():
        marks = {}
        if part(each, "properties", "tags", CURRENT) == "true":
            marks[CURRENT] = "false"
        if made.rolled_back and text(each, "name") == made.replaces:
            marks |= {CURRENT: "false", ROLLED_BACK: "true"}
        yield from _tagged(text(each, "name"), each, marks)


def model_uri(kept: Kept) -> str:
    """The model in its job's output, as the service writes it."""
    inside = KEPT if kept.path == "." else f"{KEPT}/{kept.path}"
    return f"azureml://jobs/{kept.attempt.id}/outputs/{OUTPUT}/paths/{inside}"


def _number(version: Mapping[str, Any]) -> int:
    """The number of the entry that the version was last registered for."""
    said = part(version, "properties", "tags", ENTRY)
    return int(said) if isinstance(said, str) and said.isdecimal() and len(said) < 10 else 0


def _new(made: Registration, tags: Mapping[str, str]) -> Mapping[str, Any]:
    if made.kept is None:
        raise Permanent(
            "It is not in the workspace, and its build's files are gone, so it can no longer be "
            "registered."
        )
    return {
        "description": f"Promoted by mlgate: {made.model}@{made.version}.",
        "properties": {},
        "tags": dict(tags),
        "isAnonymous": False,
        "isArchived": False,
        "modelType": _TYPES.get(made.kept.format, "custom_model"),
        "modelUri": model_uri(made.kept),
    }


def _tagged(version: str, known: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Change]:
    before = part(known, "properties", "tags") or {}
    after = {**before, **tags}
    if after != before:
        properties = part(known, "properties") or {}
        sent = {name: properties[name] for name in _SENT if properties.get(name) is not None}
        yield Change(version, {**sent, "tags": after})


def _ours(listed: Mapping[str, Any]) -> bool:
    return part(listed, "properties", "tags", OURS) is not None
