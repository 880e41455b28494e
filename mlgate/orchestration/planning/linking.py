"""The needs of runs: named runs, as specs that refer to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath

from mlgate.orchestration.findings import Code, Findings, choices
from mlgate.orchestration.planning.merging import Entry
from mlgate.orchestration.planning.promotion import keepers, keeps_none
from mlgate.orchestration.runs import Load, RunKind, RunSpec
from mlgate.orchestration.wire.fields import ServingRun

_CIRCLES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Planned:
    """A run to be; `path` is one file, or with `unmatched` a glob."""

    entry: Entry
    path: str | None
    name: str | None
    prefix: str = ""
    unmatched: bool = False


def meanings(planned: Sequence[Planned]) -> dict[str, list[str]]:
    """The runs that each name means: that of a glob means all of its runs."""
    meant: dict[str, list[str]] = {each.name or "": [each.name or ""] for each in planned}
    for each in planned:
        if each.prefix:
            meant.setdefault(each.prefix, []).append(each.name or "")
    return meant


def linked(planned: Sequence[Planned], meant: Mapping[str, Sequence[str]]) -> list[RunSpec]:
    """The specs with their needs as names of runs, and with what serving runs get from others."""
    # Many entries, and all runs of a glob, need the same: then they hold the same names.
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    specs = []
    for each in planned:
        needs = each.entry.run.needs
        if needs not in found:
            names = (name for need in dict.fromkeys(needs) for name in meant.get(need, ()))
            found[needs] = tuple(dict.fromkeys(names))
        specs.append(_spec(each, found[needs]))
    keeping = {spec.name: spec for spec in keepers(specs)}
    return [
        _serving(each.entry.run, spec, keeping.get(each.entry.run.model))
        if isinstance(each.entry.run, ServingRun)
        else spec
        for each, spec in zip(planned, specs, strict=True)
    ]


def check_needs(
    planned: Sequence[Planned], meant: Mapping[str, Sequence[str]], findings: Findings
) -> None:
    """Each entry is checked once, however many runs a glob makes of it."""
    for entry in {each.entry.where: each.entry for each in planned}.values():
        for index, need in enumerate(entry.run.needs):
            if need not in meant:
                findings.add(
                    Code.UNKNOWN_NEED,
                    f"{entry.where}/needs/{index}",
                    f"There is no run `{need}`.",
                    partial(choices, need, meant),
                )


def check_models(planned: Sequence[Planned], specs: Sequence[RunSpec], findings: Findings) -> None:
    """A serving run names one run, and not a glob, which may be many."""
    kinds = {spec.name: spec.kind for spec in specs}
    known = [spec.name for spec in keepers(specs)]
    for each in planned:
        if not isinstance(each.entry.run, ServingRun):
            continue
        model, where = each.entry.run.model, f"{each.entry.where}/model"
        if model not in kinds:
            findings.add(
                Code.UNKNOWN_RUN,
                where,
                f"There is no run `{model}`.",
                partial(choices, model, known),
            )
        elif kinds[model] is RunKind.SERVING:
            keeps_none(model, where, specs, findings)


def check_cycles(planned: Sequence[Planned], specs: Sequence[RunSpec], findings: Findings) -> None:
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


def _spec(planned: Planned, needs: tuple[str, ...]) -> RunSpec:
    fields = dict(planned.entry.fields)
    if planned.path is not None:
        fields["path"] = planned.path
        if not planned.unmatched:
            fields.setdefault("directory", str(PurePosixPath(planned.path).parent))
    kind = RunKind(fields.pop("kind"))
    load: Load | None = fields.get("load")
    return RunSpec(
        name=planned.name or "",
        kind=kind,
        needs=needs,
        # A locustfile may send requests to a model that has no example.
        must_answer=kind is RunKind.SERVING and not (load and load.locustfile),
        **fields,
    )


def _serving(run: ServingRun, spec: RunSpec, keeper: RunSpec | None) -> RunSpec:
    """With what it gets from the run that keeps its model, where that is known."""
    if keeper is None:
        return spec
    needs = tuple(dict.fromkeys([keeper.name, *spec.needs]))
    own = "environment" in run.model_fields_set
    return replace(spec, needs=needs, environment=spec.environment if own else keeper.environment)
