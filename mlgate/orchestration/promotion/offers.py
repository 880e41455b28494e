"""What a build offers, as an entry of the model's log. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from mlgate.orchestration.builds import Build, RunState
from mlgate.orchestration.durable import Head
from mlgate.orchestration.models import BuildOfEntry, Entry, EntryKind, Manifest, RepositoryOfEntry
from mlgate.orchestration.promotion.weighing import Weighed
from mlgate.orchestration.promotions import PromotionRequest
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.text import one_line

MOST_METRICS = 1_000  # of an entry
_REASON = 1_000  # characters


def trials_of(build: Build, run: str) -> list[RunState]:
    """The runs that have tried a model that `run` kept, in their order."""
    return [
        each for each in build.runs if each.spec.kind is RunKind.SERVING and each.spec.model == run
    ]


def check_of(build: Build, run: str, path: str | None) -> RunState | None:
    """The run that has tried the model at `path` among what `run` kept: the first of several.

    None where none did, or it did not pass.
    """
    first = next((each for each in trials_of(build, run) if each.spec.path == path), None)
    return first if first and first.status is RunStatus.SUCCEEDED else None


def metrics_of(build: Build) -> Mapping[str, Mapping[str, float]]:
    """Those of its runs that passed: the gate does not count a failed run's metrics either."""
    return {run.spec.name: run.metrics for run in _passed(build) if run.metrics}


def promoted(
    build: Build,
    source: Build,
    request: PromotionRequest,
    manifest: Manifest,
    head: Head,
    weighed: Weighed,
    now: datetime,
) -> Entry:
    """The entry that makes the version current; `source` is the build that has trained it."""
    run = source.run(request.run)
    return Entry(
        number=head.taken + 1,
        model=request.model,
        kind=EntryKind.PROMOTED,
        id=manifest.id,
        digest=manifest.digest,
        replaces=head.entry.id if head.entry else None,
        at=now,
        build=_build(build),
        repository=RepositoryOfEntry(source.subject, source.commit),
        run=request.run,
        studio_url=run.studio_url,
        metrics=_on_record(source, request),
        gate=source.gate_passed,
        comparison=weighed.comparison,
        reason=one_line(weighed.reason, _REASON),
    )


def rolled_back(
    to: Entry, head: Head, reason: str, now: datetime, *, build: Build | None, person: str | None
) -> Entry:
    """The entry that makes the version of `to` current again, with all that is on record of it."""
    return replace(
        to,
        number=head.taken + 1,
        kind=EntryKind.ROLLED_BACK,
        replaces=head.entry.id if head.entry else None,
        at=now,
        build=_build(build) if build else None,
        person=person,
        comparison=(),
        reason=one_line(reason, _REASON),
    )


def _passed(build: Build) -> list[RunState]:
    return [run for run in build.runs if run.status is RunStatus.SUCCEEDED]


def _build(build: Build) -> BuildOfEntry:
    return BuildOfEntry(build.key, build.build_id, build.pipeline_name)


def _on_record(build: Build, request: PromotionRequest) -> Mapping[str, Mapping[str, float]]:
    """The metrics that an entry has room for: first those that versions are compared by."""
    found = dict[str, dict[str, float]]()
    for count, (run, name, value) in enumerate(_in_their_order(build, request)):
        if count == MOST_METRICS:
            break
        found.setdefault(run, {})[name] = value
    return found


def _in_their_order(build: Build, request: PromotionRequest) -> Iterator[tuple[str, str, float]]:
    compared = {(each.run, each.metric) for each in request.compare}
    told = [
        (run.spec.name, name, value)
        for run in _passed(build)
        for name, value in run.metrics.items()
    ]
    yield from (each for each in told if each[:2] in compared)
    yield from (each for each in told if each[:2] not in compared)
