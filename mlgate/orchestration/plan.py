"""From what is asked for to the runs of a build: globs expanded, defaults filled in, named, linked.

What is wrong with the request as a whole is a finding, and nothing runs. What is wrong with one
run in this tree (no such notebook, say) fails that run alone, so that the others still tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import PurePosixPath

from mlgate.orchestration.asked import Asked, Entry, asked_for
from mlgate.orchestration.builds import Gate, GateMetric, RunState
from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, choices, finding
from mlgate.orchestration.globs import is_glob, matches
from mlgate.orchestration.listing import Listing, missing_paths
from mlgate.orchestration.messages import StartMessage
from mlgate.orchestration.names import Unnamed, same, unique_names
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.request import MAX_RUNS, AtLeast, NotebookRun
from mlgate.orchestration.runs import (
    Environment,
    Failure,
    FailureKind,
    Resources,
    RunKind,
    RunSpec,
    RunStatus,
)

_CIRCLES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """`sources`: for each run's name the pointer of the entry it comes from."""

    runs: tuple[RunState, ...]
    gate: Gate
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A run to be; `path` is one file, or with `unmatched` a glob."""

    entry: Entry
    path: str | None
    name: str | None
    prefix: str = ""
    unmatched: bool = False


def plan(message: StartMessage, tree: Tree | None) -> Plan:
    """The runs of a build, and its gate.

    A run that this tree makes impossible is FAILED already, with the reason. Without a tree only
    what the message alone tells is checked, and a glob stays one run. Raises `BadMessage` with
    all findings.
    """
    asked = asked_for(message, tree)
    listing = None if tree is None else Listing.of(tree.files())
    planned = [each for entry in asked.entries for each in _expanded(entry, listing)]
    if len(planned) > MAX_RUNS:
        raise BadMessage([_too_many(len(planned), f"{asked.where}/runs")])
    planned = _named(planned)
    # Names that a glob will bring are unknown as long as there is no tree.
    open_ended = not asked.complete or (tree is None and any(each.unmatched for each in planned))
    specs, unknown = _linked(planned, open_ended)
    duplicates = _duplicates(planned)
    # Who needs whom is not clear as long as a name means two.
    findings = [*duplicates, *unknown, *([] if duplicates else _cycles(planned, specs))]
    if not open_ended:
        findings += _of_gate(asked, [spec.name for spec in specs])
    if findings:
        raise BadMessage(findings)
    return Plan(
        runs=tuple(
            _state(spec, listing, each.entry.where)
            for spec, each in zip(specs, planned, strict=True)
        ),
        gate=_gate(asked),
        warnings=asked.warnings,
        sources={spec.name: each.entry.where for spec, each in zip(specs, planned, strict=True)},
    )


def _expanded(entry: Entry, listing: Listing | None) -> list[_Planned]:
    run = entry.run
    if not isinstance(run, NotebookRun):
        return [_Planned(entry, None, run.name)]
    if not is_glob(run.path) or (listing is not None and run.path in listing.files):
        return [_Planned(entry, run.path, run.name)]
    found = [] if listing is None else matches(run.path, listing.notebooks)
    if not found:
        return [_Planned(entry, run.path, run.name, unmatched=True)]
    return [_Planned(entry, path, None, prefix=run.name or "") for path in found]


def _named(planned: Sequence[_Planned]) -> list[_Planned]:
    taken = [each.entry.run.name for each in planned if each.entry.run.name is not None]
    unnamed = [
        Unnamed(each.path or _script(each.entry), each.prefix)
        for each in planned
        if each.name is None
    ]
    names = iter(unique_names(unnamed, taken))
    return [each if each.name else replace(each, name=next(names)) for each in planned]


def _script(entry: Entry) -> str:
    """What a command runs, to name it after: its first file, or else its module or program."""
    try:
        words = shlex.split(entry.fields["command"])
    except ValueError:
        words = entry.fields["command"].split()
    files = [word for word in words if PurePosixPath(word).suffix in (".py", ".sh", ".r", ".R")]
    modules = [after.replace(".", "/") for word, after in pairwise(words) if word == "-m"]
    return next(iter([*files, *modules, *words]), "training")


def _spec(planned: _Planned) -> RunSpec:
    fields = dict(planned.entry.fields)
    if planned.path is not None:
        fields["path"] = planned.path
        if not planned.unmatched:
            fields.setdefault("directory", str(PurePosixPath(planned.path).parent))
    if (environment := fields.pop("environment", None)) is not None:
        fields["environment"] = Environment(**environment.model_dump())
    if (resources := fields.pop("resources", None)) is not None:
        fields["resources"] = Resources(**resources.model_dump())
    kind = RunKind(fields.pop("kind"))
    return RunSpec(name=planned.name or "", kind=kind, **fields)


def _state(spec: RunSpec, listing: Listing | None, where: str) -> RunState:
    found = [] if listing is None else missing_paths(spec, listing, where)
    if not found:
        return RunState(spec)
    message = " ".join(f"{each.message} {each.remedy}" for each in found)
    failure = Failure(FailureKind.INVALID, message)
    return RunState(spec, status=RunStatus.FAILED, failure=failure)


def _duplicates(planned: Sequence[_Planned]) -> list[Finding]:
    """The name of a glob counts as well: `needs` could mean either."""
    claims: dict[tuple[str, str], str] = {}
    for each in planned:
        where = each.entry.where
        if each.entry.run.name is not None:
            claims[where, ""] = each.entry.run.name
        if each.name != each.entry.run.name:
            claims[where, each.path or ""] = each.name or ""
    owners: dict[str, str] = {}
    found = []
    for (where, _), name in claims.items():
        first = owners.setdefault(same(name), where)
        if first != where:
            found.append(
                finding(
                    Code.DUPLICATE_NAME,
                    where,
                    f"The name `{name}` is that of {first} too, `-` and `_` being the same.",
                    "Give each a `name` of its own.",
                )
            )
    return found


def _linked(planned: Sequence[_Planned], open_ended: bool) -> tuple[list[RunSpec], list[Finding]]:
    """The specs with their needs as names of runs: the name of a glob means all of its runs."""
    specs = [_spec(each) for each in planned]
    meant: dict[str, list[str]] = {spec.name: [spec.name] for spec in specs}
    for each in planned:
        if each.prefix:
            meant.setdefault(each.prefix, []).append(each.name or "")
    linked, found = [], {}
    for each, spec in zip(planned, specs, strict=True):
        for index, need in enumerate(each.entry.run.needs):
            if need not in meant and not open_ended:
                where = f"{each.entry.where}/needs/{index}"
                found[where] = finding(
                    Code.UNKNOWN_NEED, where, f"There is no run `{need}`.", choices(need, meant)
                )
        needs = [name for need in each.entry.run.needs for name in meant.get(need, ())]
        linked.append(replace(spec, needs=tuple(dict.fromkeys(needs))))
    return linked, list(found.values())


def _cycles(planned: Sequence[_Planned], specs: Sequence[RunSpec]) -> list[Finding]:
    """One finding for each of the first few circles that have no run in common."""
    graph = {spec.name: set(spec.needs) for spec in specs}
    sources = {spec.name: each.entry.where for spec, each in zip(specs, planned, strict=True)}
    found: dict[str, Finding] = {}
    for _ in range(_CIRCLES_SHOWN):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # The sorter lists it from the needed to the needing, its first run again at the end.
            circle = error.args[1][::-1]
            where = f"{sources[circle[0]]}/needs"
            found[where] = finding(
                Code.CYCLE,
                where,
                f"The runs need one another in a circle: {' needs '.join(circle)}.",
                "Take one of these needs out.",
            )
            entries = {sources[name] for name in circle}
            graph = {name: needs for name, needs in graph.items() if sources[name] not in entries}
        else:
            break
    return list(found.values())


def _of_gate(asked: Asked, names: Sequence[str]) -> list[Finding]:
    found = [
        finding(
            Code.UNKNOWN_RUN,
            f"{asked.gate_where}/metrics/{index}/run",
            f"There is no run `{metric.run}`.",
            choices(metric.run, names),
        )
        for index, metric in enumerate(asked.gate.metrics)
        if metric.run not in names
    ]
    condition = asked.gate.condition
    if isinstance(condition, AtLeast) and condition.at_least > len(names):
        found.append(
            finding(
                Code.UNREACHABLE_GATE,
                f"{asked.gate_where}/condition/at_least",
                f"The gate asks for {condition.at_least} runs, and there are {len(names)}.",
                "Ask for fewer, or for `all_pass`.",
            )
        )
    return found


def _gate(asked: Asked) -> Gate:
    condition = asked.gate.condition
    return Gate(
        condition=condition.at_least if isinstance(condition, AtLeast) else condition,
        metrics=tuple(
            GateMetric(bound.run, bound.metric, bound.at_least, bound.at_most)
            for bound in asked.gate.metrics
        ),
    )


def _too_many(count: int, where: str) -> Finding:
    return finding(
        Code.TOO_MANY_RUNS,
        where,
        f"The globs match {count} runs in all, and a build has at most {MAX_RUNS}.",
        "Narrow the globs, or send several messages.",
    )
