"""The message and the file in the repository that it refers to, merged into one list of entries.

What the message itself says wins: its `runs`, its `gate` and its `promote` replace the file's, its
`defaults` override the file's field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.findings import Code, finding, inside
from mlgate.orchestration.planning.listing import Listing
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.runs import Environment, Load, Resources
from mlgate.orchestration.wire.fields import (
    ComputeResources,
    EnvironmentFiles,
    GateRequest,
    NotebookRun,
    PlanFile,
    RunFields,
    ServingRun,
    TrainingRun,
)
from mlgate.orchestration.wire.json_text import read_object
from mlgate.orchestration.wire.messages import StartMessage, validated
from mlgate.orchestration.wire.model_types import LoadRequest
from mlgate.orchestration.wire.promotion import PromoteRequest

AnyRun = NotebookRun | TrainingRun | ServingRun

_MERGED = ("parameters", "environment_variables", "tags")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `runs`: its pointer, and its fields with the defaults filled in.

    `fields` are those of a run's spec that the message or the file gives, less `name` and `needs`.
    Entries with equal fields share one object.
    """

    where: str
    run: AnyRun
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """`complete`: these are all entries there will be; false as long as `runs_from` is unread.

    `defaults` are the fields of all runs, as a run's spec holds them.
    """

    entries: tuple[Entry, ...]
    gate: GateRequest
    where: str  # what pointers to runs begin with: "" in the message
    gate_where: str
    complete: bool = True
    warnings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    promote: PromoteRequest | None = None
    promote_where: str = "/promote"


def merged(message: StartMessage, tree: Tree | None) -> Merged:
    """The entries and the gate; without a tree, what the message alone says.

    Raises `BadMessage` when the file is not there or not valid, with pointers into the file.
    """
    if message.runs_from is None or tree is None:
        defaults = _over({}, [message.defaults])
        return Merged(
            _entries("", message.runs or (), defaults),
            message.gate,
            "",
            "/gate",
            complete=message.runs_from is None or message.runs is not None,
            defaults=defaults,
            promote=message.promote,
        )
    file = message.runs_from
    content = _plan_file(file, tree)
    defaults = _over({}, [content.defaults, message.defaults])
    warnings: list[str] = []
    if message.runs is not None:
        where, runs = "", message.runs
        if content.runs is not None:
            warnings.append(f"The message's own runs replace those of {file}.")
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
    promote, promote_where = message.promote, "/promote"
    if promote is None:
        promote, promote_where = content.promote, f"{file}#/promote"
    elif content.promote is not None:
        warnings.append(f"The message's own `promote` replaces that of {file}.")
    return Merged(
        _entries(where, runs, defaults),
        gate,
        where,
        gate_where,
        warnings=tuple(warnings),
        defaults=defaults,
        promote=promote,
        promote_where=promote_where,
    )


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


def _entries(where: str, runs: Sequence[AnyRun], below: Mapping[str, Any]) -> tuple[Entry, ...]:
    defaults = {
        model: {name: value for name, value in below.items() if name in model.model_fields}
        for model in (NotebookRun, TrainingRun, ServingRun)
    }
    same: dict[tuple[str, str], Any] = {}
    entries = []
    for index, run in enumerate(runs):
        fields = _over(defaults[type(run)], [run])
        for name in run.model_fields_set & fields.keys():
            # The defaults are the same for all, so an entry's own fields decide.
            said = run.model_dump_json(include={name})
            fields[name] = same.setdefault((name, said), fields[name])
        entries.append(Entry(f"{where}/runs/{index}", run, fields))
    return tuple(entries)


def _over(below: Mapping[str, Any], layers: Sequence[RunFields]) -> dict[str, Any]:
    """Later layers win; maps are merged key by key."""
    chosen = dict(below)
    for layer in layers:
        for name in layer.model_fields_set - {"name", "needs"}:
            value = getattr(layer, name)
            if name in _MERGED and chosen.get(name):
                value = {**chosen[name], **value}
            chosen[name] = _noun(value)
    return chosen


def _noun(value: Any) -> Any:
    """The value as a run's spec holds it."""
    match value:
        case EnvironmentFiles():
            return Environment(**value.model_dump())
        case ComputeResources():
            return Resources(**value.model_dump())
        case LoadRequest():
            return Load(**value.model_dump())
        case _:
            return value
