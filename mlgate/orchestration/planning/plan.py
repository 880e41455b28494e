"""From a message to the runs of a build: globs expanded, defaults filled in, named, linked.

What is wrong with the request as a whole is a finding, and nothing runs. What is wrong with one
run in this tree (no such notebook, say) fails that run alone, and the others still run.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import PurePosixPath

from mlgate.orchestration.builds import Gate, GateMetric, RunState
from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, Findings, choices, finding
from mlgate.orchestration.planning.globs import is_glob, matches
from mlgate.orchestration.planning.linking import (
    Planned,
    check_cycles,
    check_models,
    check_needs,
    linked,
    meanings,
)
from mlgate.orchestration.planning.listing import Listing, missing_paths
from mlgate.orchestration.planning.merging import Entry, Merged, merged
from mlgate.orchestration.planning.names import Unnamed, check_name, same, unique_names
from mlgate.orchestration.planning.promotion import offered
from mlgate.orchestration.planning.size import check_size
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.promotions import PromotionRequest
from mlgate.orchestration.runs import Failure, FailureKind, RunSpec, RunStatus
from mlgate.orchestration.wire.fields import (
    MAX_RUNS,
    AtLeast,
    MetricBound,
    NotebookRun,
    ServingRun,
)
from mlgate.orchestration.wire.messages import StartMessage
from mlgate.orchestration.wire.types import MOST_TAGS

_FAILURES = ("failures", "failure_ratio")  # metrics of a load


@dataclass(frozen=True, slots=True)
class Plan:
    """`sources`: for each run's name the pointer of the entry it comes from.

    `promote` is what the build offers; one of the runs then tries it: `gate.added` if no run of
    the message does.
    """

    runs: tuple[RunState, ...]
    gate: Gate
    promote: PromotionRequest | None = None
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


def plan(message: StartMessage, tree: Tree | None) -> Plan:
    """The runs of a build, and its gate.

    A run that this tree makes impossible is FAILED already, with the reason. Without a tree only
    what can be known of the message alone is checked, and a glob stays one run. Runs share
    equal values as one object. A check has no runs. Raises `BadMessage` with all findings.
    """
    if message.kind == "check":
        return Plan((), Gate())
    entries = merged(message, tree)
    findings = Findings()
    listing = None if tree is None else Listing.of(tree.files())
    planned: list[Planned] = []
    for entry in entries.entries:
        planned += _expanded(entry, listing)
        _check_number(planned, [], f"{entries.where}/runs")
    planned = _named(planned)
    # Names that a glob will bring are unknown as long as there is no tree.
    open_ended = not entries.complete or (tree is None and any(each.unmatched for each in planned))
    meant = meanings(planned)
    specs = [_judged(spec, entries.gate.metrics) for spec in linked(planned, meant)]
    offer = offered(entries, specs, open_ended, findings)
    checks = [offer.check] if offer is not None and offer.added else []
    added = [spec.name for spec in checks]
    if entries.promote is not None and offer is None:  # its run is not known yet
        added = [check_name(entries.promote.model)]
    _check_number(planned, added, f"{entries.where}/runs")
    # Needs are ambiguous while a name means two runs.
    clear = _check_names(planned, added, findings)
    if not open_ended:
        check_needs(planned, meant, findings)
        check_models(planned, specs, findings)
    if clear:
        check_cycles(planned, specs, findings)
    if not open_ended:
        _check_gate(entries, [spec.name for spec in specs], added, findings)
    _check_tags(entries.entries, findings)
    _check_loads(planned, specs, findings)
    if offer is not None and not offer.added:
        specs = [offer.check if spec.name == offer.check.name else spec for spec in specs]
    check_size([*specs, *checks], f"{entries.where}/runs", findings)
    findings.check()
    sources = {spec.name: each.entry.where for spec, each in zip(specs, planned, strict=True)}
    named = {spec.name: spec for spec in specs}
    states = [_state(spec, named, listing, sources[spec.name]) for spec in specs]
    # An added run needs no file of the tree that the run it tries does not need.
    states += [RunState(spec) for spec in checks]
    return Plan(
        runs=tuple(states),
        gate=_gate(entries, checks),
        promote=None if offer is None else offer.request,
        warnings=entries.warnings,
        sources={**sources, **{spec.name: entries.promote_where for spec in checks}},
    )


def _expanded(entry: Entry, listing: Listing | None) -> list[Planned]:
    run = entry.run
    if not isinstance(run, NotebookRun):
        return [Planned(entry, None, run.name)]
    if not is_glob(run.path) or (listing is not None and run.path in listing.files):
        return [Planned(entry, run.path, run.name)]
    found = [] if listing is None else matches(run.path, listing.notebooks)
    if not found:
        return [Planned(entry, run.path, run.name, unmatched=True)]
    return [Planned(entry, path, None, prefix=run.name or "") for path in found]


def _named(planned: Sequence[Planned]) -> list[Planned]:
    taken = [each.entry.run.name for each in planned if each.entry.run.name is not None]
    unnamed = [
        Unnamed(each.path or _script(each.entry), each.prefix)
        for each in planned
        if each.name is None
    ]
    names = iter(unique_names(unnamed, taken))
    return [each if each.name else replace(each, name=next(names)) for each in planned]


def _script(entry: Entry) -> str:
    """What a run without a file is named after: the model that it serves; the first file that its
    command runs, or else its module or program."""
    if isinstance(entry.run, ServingRun):
        return f"serve-{entry.run.model}"
    try:
        words = shlex.split(entry.fields["command"])
    except ValueError:
        words = entry.fields["command"].split()
    files = [word for word in words if PurePosixPath(word).suffix in (".py", ".sh", ".r", ".R")]
    modules = [after.replace(".", "/") for word, after in pairwise(words) if word == "-m"]
    return next(iter([*files, *modules, *words]), "training")


def _state(
    spec: RunSpec, named: Mapping[str, RunSpec], listing: Listing | None, where: str
) -> RunState:
    found = [] if listing is None else missing_paths(spec, named, listing, where)
    if not found:
        return RunState(spec)
    message = " ".join(f"{each.message} {each.remedy}" for each in found)
    failure = Failure(FailureKind.INVALID, message)
    return RunState(spec, status=RunStatus.FAILED, failure=failure)


def _check_number(planned: Sequence[Planned], added: Sequence[str], where: str) -> None:
    """Raises `BadMessage` at once: a glob may find any number."""
    if len(planned) + len(added) > MAX_RUNS:
        raise BadMessage([_too_many(len(planned), where, added)])


def _check_names(planned: Sequence[Planned], added: Sequence[str], findings: Findings) -> bool:
    """Whether each name means one thing.

    The name of a glob counts as well: `needs` could mean either. An added run keeps its name.
    """
    clear = True
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
        clear = False
        if name == other:
            message, remedy = (
                f"`{name}` is the name of {first} as well.",
                "Give it a name of its own.",
            )
        else:
            message = f"`{name}` is too close to `{other}`, the name of {first}."
            remedy = "Choose names that differ in more than `-` and `_`."
        findings.add(Code.DUPLICATE_NAME, where, message, remedy)
    return clear


def _check_tags(entries: Sequence[Entry], findings: Findings) -> None:
    """The reader has only counted those of the run and of the defaults apart."""
    for entry in entries:
        if (count := len(entry.fields.get("tags", {}))) > MOST_TAGS:
            findings.add(
                Code.OUT_OF_RANGE,
                f"{entry.where}/tags",
                f"The run has {count} tags with those of `defaults`, more than {MOST_TAGS}.",
                f"Leave out {count - MOST_TAGS}.",
            )


def _check_loads(planned: Sequence[Planned], specs: Sequence[RunSpec], findings: Findings) -> None:
    """Each with the timeout, which `defaults` may hold."""
    for each, spec in zip(planned, specs, strict=True):
        if spec.load is not None and spec.load.seconds >= spec.timeout_minutes * 60:
            findings.add(
                Code.OUT_OF_RANGE,
                f"{each.entry.where}/load/seconds",
                f"The load lasts {spec.load.seconds:g} s, and the run may last "
                f"{spec.timeout_minutes:g} minutes.",
                "Shorten it, or raise `timeout_minutes`.",
            )


def _judged(spec: RunSpec, bounds: Sequence[MetricBound]) -> RunSpec:
    """With `may_fail` set where the gate judges the load instead of the run itself."""
    if spec.load is None:
        return spec
    names = {bound.metric for bound in bounds if bound.run == spec.name}
    return replace(spec, load=replace(spec.load, may_fail=not names.isdisjoint(_FAILURES)))


def _check_gate(
    entries: Merged, names: Sequence[str], added: Sequence[str], findings: Findings
) -> None:
    """A metric may name an added run, but added runs are not counted."""
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
