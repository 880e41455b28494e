"""What a build offers: the run that keeps the candidate, and the one that tries it, which is added
if the message has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mlgate.orchestration.findings import Code, Findings, choices
from mlgate.orchestration.planning.merging import Merged
from mlgate.orchestration.planning.names import check_name
from mlgate.orchestration.promotions import Comparison, PromotionRequest, Verify
from mlgate.orchestration.runs import RunKind, RunSpec
from mlgate.orchestration.wire.promotion import CompareRequest, PromoteRequest, VerifyRequest

# What the added run takes from `defaults`. Its environment and machine are those of the run that it
# tries; it has no variables, since the server of the model has none either.
_DEFAULTS = ("timeout_minutes", "retries", "tags")


@dataclass(frozen=True, slots=True)
class Offer:
    """`check` is the run that tries it; `added`: the message does not name it itself."""

    request: PromotionRequest
    check: RunSpec
    added: bool


def offered(
    merged: Merged, specs: Sequence[RunSpec], open_ended: bool, findings: Findings
) -> Offer | None:
    """What runs of these specs offer; None if they offer nothing, or while the run is not known.

    `open_ended`: there will be runs whose names are not known yet.
    """
    promote = merged.promote
    if promote is None:
        return None
    name = check_name(promote.model)
    keeper = _keeper(merged, specs, open_ended, findings)
    trial = None if keeper is None else _trial(promote, keeper, specs)
    names = [spec.name for spec in specs]
    if trial is None:
        names.append(name)
    _check_compared(merged, [] if open_ended else names, findings)
    if keeper is None:
        return None
    request = _request(promote, keeper.name)
    if trial is None:
        return Offer(request, _spec(promote, keeper, name, merged.defaults), added=True)
    return Offer(request, replace(trial, example=promote.example), added=False)


def _trial(promote: PromoteRequest, keeper: RunSpec, specs: Sequence[RunSpec]) -> RunSpec | None:
    """The first serving run of what is offered: `promotion.offers` looks for the same one."""
    return next(
        (
            spec
            for spec in specs
            if spec.kind is RunKind.SERVING
            and spec.model == keeper.name
            and spec.path == promote.path
        ),
        None,
    )


def keepers(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs that may keep a model: all but those that try one."""
    return [spec for spec in specs if spec.kind is not RunKind.SERVING]


def keeps_none(name: str, where: str, specs: Sequence[RunSpec], findings: Findings) -> None:
    """Add a finding: `where` names a serving run as the one that keeps a model."""
    known = [spec.name for spec in keepers(specs)]
    findings.add(
        Code.NOTHING_TO_SERVE,
        where,
        f"`{name}` is a serving run, which keeps no model.",
        lambda: f"Name the run that makes the model. {choices('', known)}",
    )


def _keeper(
    merged: Merged, specs: Sequence[RunSpec], open_ended: bool, findings: Findings
) -> RunSpec | None:
    """The run that keeps the candidate; it may be any, since every run keeps `outputs/**`."""
    assert merged.promote is not None
    name, where = merged.promote.run, f"{merged.promote_where}/run"
    if name is not None:
        found = next((spec for spec in specs if spec.name == name), None)
        if found is None and not open_ended:
            names = [spec.name for spec in specs]
            findings.add(
                Code.UNKNOWN_RUN, where, f"There is no run `{name}`.", partial(choices, name, names)
            )
        elif found is not None and found.kind is RunKind.SERVING:
            keeps_none(found.name, where, specs, findings)
            return None
        return found
    if not merged.complete:
        return None
    # A glob finds notebooks alone.
    trainings = [spec for spec in specs if spec.kind is RunKind.TRAINING]
    if len(trainings) == 1:
        return trainings[0]
    count = f"{len(trainings)} trainings" if trainings else "no training"
    known = [spec.name for spec in trainings or keepers(specs)]
    findings.add(
        Code.MISSING_FIELD,
        where,
        f"The build has {count}, so `promote` must say which run keeps the model.",
        lambda: f"Give `run`. {choices('', known)}",
    )
    return None


def _check_compared(merged: Merged, known: Sequence[str], findings: Findings) -> None:
    """`known`: the names of all runs; none while there will be others."""
    assert merged.promote is not None
    names = set(known)
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(merged.promote.compare):
        where = f"{merged.promote_where}/compare/{index}"
        if names and each.run not in names:
            findings.add(
                Code.UNKNOWN_RUN,
                f"{where}/run",
                f"There is no run `{each.run}`.",
                partial(choices, each.run, known),
            )
        if (each.run, each.metric) in seen:
            findings.add(
                Code.DUPLICATE_COMPARISON,
                where,
                f"`{each.metric}` of `{each.run}` is compared in an entry before this one.",
                "Keep one of them.",
            )
        seen.add((each.run, each.metric))


def _request(promote: PromoteRequest, run: str) -> PromotionRequest:
    return PromotionRequest(
        model=promote.model,
        run=run,
        path=promote.path,
        compare=tuple(_comparison(each) for each in promote.compare),
        when=promote.when,
        worse=promote.worse,
        first=promote.first,
        example=promote.example,
        verify=verify_of(promote.verify),
        register=promote.register,
    )


def verify_of(asked: VerifyRequest | None) -> Verify | None:
    """What the message requires of the server."""
    return None if asked is None else Verify(asked.url, asked.answers, asked.timeout_minutes)


def _comparison(asked: CompareRequest) -> Comparison:
    return Comparison(
        run=asked.run,
        metric=asked.metric,
        better=asked.better,
        tolerance=asked.tolerance or 0.0,
        relative_tolerance=asked.relative_tolerance,
        current=asked.current,
    )


def _spec(
    promote: PromoteRequest, keeper: RunSpec, name: str, defaults: Mapping[str, Any]
) -> RunSpec:
    return RunSpec(
        name=name,
        kind=RunKind.SERVING,
        model=keeper.name,
        path=promote.path,
        example=promote.example,
        needs=(keeper.name,),
        environment=keeper.environment,
        compute=keeper.compute,
        resources=keeper.resources,
        **{field: defaults[field] for field in _DEFAULTS if field in defaults},
    )
