"""From a message to the runs of a build: globs expanded, defaults filled in, named, linked.

What is wrong with the request as a whole is a finding, and nothing runs. What is wrong with one
run in this tree (no such notebook, say) fails that run alone, so that the others still tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import PurePosixPath

from mlgate.orchestration.builds import Gate, GateMetric, RunState
from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, Findings, choices, finding
from mlgate.orchestration.models import PromotionRequest
from mlgate.orchestration.planning.globs import is_glob, matches
from mlgate.orchestration.planning.listing import Listing, missing_paths
from mlgate.orchestration.planning.merging import Entry, Merged, merged
from mlgate.orchestration.planning.names import Unnamed, check_name, same, unique_names
from mlgate.orchestration.planning.promotion import offered
from mlgate.orchestration.planning.size import check_size
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.runs import Failure, FailureKind, RunKind, RunSpec, RunStatus
from mlgate.orchestration.wire.fields import MAX_RUNS, AtLeast, NotebookRun
from mlgate.orchestration.wire.messages import StartMessage
from mlgate.orchestration.wire.types import MOST_TAGS

_CIRCLES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """`sources`: for each run's name the pointer of the entry it comes from.

    `promote` is what the build offers; then one of the runs is added to try it.
    """

    runs: tuple[RunState, ...]
    gate: Gate
    promote: PromotionRequest | None = None
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
    what can be known of the message alone is checked, and a glob stays one run. Runs hold the same
    object where they say the same. A check has none. Raises `BadMessage` with all findings.
    """
    if message.kind == "check":
        return Plan((), Gate())
    entries = merged(message, tree)
    added = [] if entries.promote is None else [check_name(entries.promote.model)]
    findings = Findings()
    listing = None if tree is None else Listing.of(tree.files())
    planned: list[_Planned] = []
    for entry in entries.entries:
        planned += _expanded(entry, listing)
        if len(planned) + len(added) > MAX_RUNS:
            raise BadMessage([_too_many(len(planned), f"{entries.where}/runs", added)])
    planned = _named(planned)
    # Names that a glob will bring are unknown as long as there is no tree.
    open_ended = not entries.complete or (tree is None and any(each.unmatched for each in planned))
    _check_names(planned, added, findings)
    unclear = bool(findings)  # who needs whom, as long as a name means two
    specs = _linked(planned, open_ended, findings)
    if not unclear:
        _check_cycles(planned, specs, findings)
    offer = offered(entries, specs, open_ended, findings)
    checks = [] if offer is None else [offer.check]
    if not open_ended:
        _check_gate(entries, [spec.name for spec in specs], added, findings)
    _check_tags(entries.entries, findings)
    check_size([*specs, *checks], f"{entries.where}/runs", findings)
    findings.check()
    sources = {spec.name: each.entry.where for spec, each in zip(specs, planned, strict=True)}
    states = [_state(spec, listing, sources[spec.name]) for spec in specs]
    # What is added needs nothing of the tree but what the run that it tries needs as well.
    states += [RunState(spec) for spec in checks]
    return Plan(
        runs=tuple(states),
        gate=_gate(entries, checks),
        promote=None if offer is None else offer.request,
        warnings=entries.warnings,
        sources={**sources, **{spec.name: entries.promote_where for spec in checks}},
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


def _spec(planned: _Planned, needs: tuple[str, ...]) -> RunSpec:
    fields = dict(planned.entry.fields)
    if planned.path is not None:
        fields["path"] = planned.path
        if not planned.unmatched:
            fields.setdefault("directory", str(PurePosixPath(planned.path).parent))
    kind = RunKind(fields.pop("kind"))
    return RunSpec(name=planned.name or "", kind=kind, needs=needs, **fields)


def _state(spec: RunSpec, listing: Listing | None, where: str) -> RunState:
    found = [] if listing is None else missing_paths(spec, listing, where)
    if not found:
        return RunState(spec)
    message = " ".join(f"{each.message} {each.remedy}" for each in found)
    failure = Failure(FailureKind.INVALID, message)
    return RunState(spec, status=RunStatus.FAILED, failure=failure)


def _check_names(planned: Sequence[_Planned], added: Sequence[str], findings: Findings) -> None:
    """The name of a glob counts as well: `needs` could mean either. An added run keeps its name."""
    claims: dict[tuple[str, str], str] = {}
    for each in planned:
        where = each.entry.where
        if each.entry.run.name is not None:
            claims[where, ""] = each.entry.run.name
        if each.name != each.entry.run.name:
            claims[where, each.path or ""] = each.name or ""
    owners = {same(name): ("the run that `promote` adds", name) for name in added}
    for (where, _), name in claims.items():
        first, other = owners.setdefault(same(name), (where, name))
        if first == where:
            continue
        if name == other:
            message, remedy = (
                f"`{name}` is the name of {first} as well.",
                "Give it a name of its own.",
            )
        else:
            message = f"`{name}` is too close to `{other}`, the name of {first}."
            remedy = "Choose names that differ in more than `-` and `_`."
        findings.add(Code.DUPLICATE_NAME, where, message, remedy)


def _linked(planned: Sequence[_Planned], open_ended: bool, findings: Findings) -> list[RunSpec]:
    """The specs with their needs as names of runs: the name of a glob means all of its runs."""
    meant: dict[str, list[str]] = {each.name or "": [each.name or ""] for each in planned}
    for each in planned:
        if each.prefix:
            meant.setdefault(each.prefix, []).append(each.name or "")
    # Many entries, and all runs of a glob, need the same: then they hold the same names.
    linked: dict[tuple[str, ...], tuple[str, ...]] = {}
    checked: set[str] = set()
    specs = []
    for each in planned:
        needs = each.entry.run.needs
        if needs not in linked:
            names = (name for need in dict.fromkeys(needs) for name in meant.get(need, ()))
            linked[needs] = tuple(dict.fromkeys(names))
        if not open_ended and each.entry.where not in checked:
            checked.add(each.entry.where)
            for index, need in enumerate(needs):
                if need not in meant:
                    findings.add(
                        Code.UNKNOWN_NEED,
                        f"{each.entry.where}/needs/{index}",
                        f"There is no run `{need}`.",
                        partial(choices, need, meant),
                    )
        specs.append(_spec(each, linked[needs]))
    return specs


def _check_tags(entries: Sequence[Entry], findings: Findings) -> None:
    """Of a run and of the defaults alone the reader has counted them."""
    for entry in entries:
        if (count := len(entry.fields.get("tags", {}))) > MOST_TAGS:
            findings.add(
                Code.OUT_OF_RANGE,
                f"{entry.where}/tags",
                f"The run has {count} tags with those of `defaults`, more than {MOST_TAGS}.",
                f"Leave out {count - MOST_TAGS}.",
            )


def _check_cycles(
    planned: Sequence[_Planned], specs: Sequence[RunSpec], findings: Findings
) -> None:
    """One finding for each of the first few circles that have no run in common."""
    graph = {spec.name: set(spec.needs) for spec in specs}
    sources = {spec.name: each.entry.where for spec, each in zip(specs, planned, strict=True)}
    for _ in range(_CIRCLES_SHOWN):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # The sorter lists it from the needed to the needing, its first run again at the end.
            circle = error.args[1][::-1]
            findings.add(
                Code.CYCLE,
                f"{sources[circle[0]]}/needs",
                f"The runs need one another in a circle: {' needs '.join(circle)}.",
                "Remove one of these needs.",
            )
            entries = {sources[name] for name in circle}
            graph = {name: needs for name, needs in graph.items() if sources[name] not in entries}
        else:
            break


def _check_gate(
    entries: Merged, names: Sequence[str], added: Sequence[str], findings: Findings
) -> None:
    """A metric may be one of an added run, but no number counts those."""
    known = dict.fromkeys([*names, *added])
    for index, metric in enumerate(entries.gate.metrics):
        if metric.run not in known:
            findings.add(
                Code.UNKNOWN_RUN,
                f"{entries.gate_where}/metrics/{index}/run",
                f"There is no run `{metric.run}`.",
                partial(choices, metric.run, known),
            )
    condition = entries.gate.condition
    if isinstance(condition, AtLeast) and condition.at_least > len(names):
        findings.add(
            Code.UNREACHABLE_GATE,
            f"{entries.gate_where}/condition/at_least",
            f"The gate requires {condition.at_least} runs, and there are {len(names)}.",
            "Require fewer, or write `all_pass`.",
        )


def _gate(entries: Merged, added: Sequence[RunSpec]) -> Gate:
    condition = entries.gate.condition
    return Gate(
        condition=condition.at_least if isinstance(condition, AtLeast) else condition,
        metrics=tuple(
            GateMetric(bound.run, bound.metric, bound.at_least, bound.at_most)
            for bound in entries.gate.metrics
        ),
        added=tuple(spec.name for spec in added),
    )


def _too_many(count: int, where: str, added: Sequence[str]) -> Finding:
    more = ", `promote` adds one" if added else ""
    return finding(
        Code.TOO_MANY_RUNS,
        where,
        f"There are at least {count} runs{more}, and a build has at most {MAX_RUNS}.",
        "Narrow the globs, or send several messages.",
    )
