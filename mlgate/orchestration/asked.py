"""What is asked for in all: the message, and the file in the repository that it refers to.

What the message itself says wins: its `runs` and its `gate` replace the file's, its `defaults`
go over the file's field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.findings import Code, finding, inside
from mlgate.orchestration.jsontext import read_object
from mlgate.orchestration.listing import Listing
from mlgate.orchestration.messages import StartMessage, validated
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.request import Defaults, GateRequest, NotebookRun, PlanFile, TrainingRun

_MERGED = ("parameters", "environment_variables", "tags")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `runs`: where it stands, and its fields with the defaults filled in.

    `fields` are those of the entry's model that were given at all, less `name` and `needs`.
    """

    where: str
    run: NotebookRun | TrainingRun
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """`complete`: these are all entries there will be; false as long as `runs_from` is unread."""

    entries: tuple[Entry, ...]
    gate: GateRequest
    where: str  # what pointers to runs begin with: "" in the message
    gate_where: str
    complete: bool = True
    warnings: tuple[str, ...] = ()


def asked_for(message: StartMessage, tree: Tree | None) -> Asked:
    """The entries and the gate; without a tree, what the message alone says.

    Raises `BadMessage` when the file is not there or not valid, with pointers into the file.
    """
    if message.runs_from is None:
        return Asked(
            _entries("", message.runs or (), [message.defaults]), message.gate, "", "/gate"
        )
    if tree is None:
        entries = _entries("", message.runs or (), [message.defaults])
        return Asked(entries, message.gate, "", "/gate", complete=message.runs is not None)
    file = message.runs_from
    content = _plan_file(file, tree)
    layers = [content.defaults, message.defaults]
    warnings: tuple[str, ...] = ()
    if message.runs is not None:
        where, runs = "", message.runs
        if content.runs is not None:
            warnings = (f"The message's own runs replace those of {file}.",)
    elif content.runs is not None:
        where, runs = f"{file}#", content.runs
    else:
        raise BadMessage(
            inside(
                file,
                [finding(Code.MISSING_FIELD, "", "The file names no runs.", "Give `runs` in it.")],
            )
        )
    gate, gate_where = message.gate, "/gate"
    if "gate" not in message.model_fields_set and content.gate is not None:
        gate, gate_where = content.gate, f"{file}#/gate"
    return Asked(_entries(where, runs, layers), gate, where, gate_where, warnings=warnings)


def _plan_file(file: str, tree: Tree) -> PlanFile:
    try:
        data = tree.read(file)
    except KeyError:
        raise BadMessage(
            [
                finding(
                    Code.MISSING_PLAN,
                    "/runs_from",
                    f"There is no file `{file}` in the repository.",
                    Listing.of(tree.files()).similar(file),
                )
            ]
        ) from None
    try:
        raw, findings = read_object(data.decode("utf-8-sig"))
        return validated(PlanFile, raw, findings)
    except UnicodeDecodeError:
        problem = finding(Code.NOT_TEXT, "", "The file is not UTF-8.", "Save it as UTF-8.")
        raise BadMessage(inside(file, [problem])) from None
    except BadMessage as error:
        raise BadMessage(inside(file, error.findings)) from None


def _entries(
    where: str, runs: Sequence[NotebookRun | TrainingRun], layers: Sequence[Defaults]
) -> tuple[Entry, ...]:
    return tuple(
        Entry(f"{where}/runs/{index}", run, _filled_in(run, layers))
        for index, run in enumerate(runs)
    )


def _filled_in(run: NotebookRun | TrainingRun, layers: Sequence[Defaults]) -> dict[str, Any]:
    """Later layers win, the run last; maps are merged key by key."""
    known = type(run).model_fields.keys() - {"name", "needs"}
    chosen: dict[str, Any] = {}
    for layer in (*layers, run):
        for name in layer.model_fields_set & known:
            value = getattr(layer, name)
            chosen[name] = {**chosen.get(name, {}), **value} if name in _MERGED else value
    return chosen
