"""What the page says of many builds: flaky runs, builds by time, the course of each metric. Pure.

A drawing has at most about sixty points, whatever the number of builds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.promotions import PromotionOutcome
from mlgate.orchestration.runs import FailureKind, RunStatus
from mlgate.orchestration.verdict.history.records import (
    MetricRecord,
    Project,
    Record,
    RunRecord,
)

_MOST_BINS, _LEAST_BINS = 64, 8
_STEPS = tuple(  # hours, up to a year
    timedelta(hours=hours)
    for hours in (1, 3, 6, 12, 24, 48, 168, 336, 672, 2184, 8736, 87360, 873600)
)
_MONDAY = datetime(1, 1, 1, tzinfo=UTC)
_MOST_POINTS = 60
_NOT_ITS_OWN = {FailureKind.PREEMPTED, FailureKind.INFRASTRUCTURE, FailureKind.NETWORK}
OUTCOMES = 30  # the last ones of a run


@dataclass(frozen=True, slots=True)
class Bin:
    """The builds that began within `step` from `start`; `durations` are sorted, in seconds."""

    start: datetime
    step: timedelta
    verdicts: Mapping[Verdict, int]
    durations: tuple[float, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.verdicts.values())

    @property
    def rate(self) -> float | None:
        """The share of judged builds that passed, 0 to 1; None without judged builds."""
        return pass_rate(self.verdicts)


@dataclass(frozen=True, slots=True)
class RunStory:
    """One run over all builds of its project. `last` are its last results, the oldest first.

    `both_ways`: commits for which it failed in one build and passed in another. `after_retry`:
    builds in which it passed, and not at the first try. Neither counts failures that are not the
    run's own. `seconds`: the median of those that passed.
    """

    project: Project
    name: str
    ended: int
    passed: int
    both_ways: int
    after_retry: int
    seconds: float | None
    last: tuple[tuple[RunStatus, Record], ...] = field(repr=False)
    flaked: Record | None = None  # the build in which it was last seen to be flaky

    @property
    def flaky(self) -> bool:
        return self.both_ways > 0 or self.after_retry > 0


@dataclass(frozen=True, slots=True)
class Point:
    """One build's value of a metric, or what many have in common: `value` is their median.

    `failed` counts the builds whose gate failed, `promoted` those with a promotion.
    """

    value: float
    low: float
    high: float
    began: datetime
    builds: int
    build_id: str
    failed: int = 0
    promoted: int = 0
    version: str | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """A metric of a run over the builds of its project, the oldest first."""

    project: Project
    run: str
    metric: str
    points: tuple[Point, ...]
    builds: int
    promotions: int
    last: MetricRecord
    gated: bool

    @property
    def merged(self) -> bool:
        """Whether a point covers several builds."""
        return self.builds > len(self.points)


def quantile(ordered: Sequence[float], part: float) -> float:
    """Of sorted values, at least one; `part` is 0 to 1."""
    place = part * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def pass_rate(verdicts: Mapping[Verdict, int]) -> float | None:
    judged = verdicts.get(Verdict.SUCCEEDED, 0) + verdicts.get(Verdict.FAILED, 0)
    return verdicts.get(Verdict.SUCCEEDED, 0) / judged if judged else None


def verdicts_of(records: Iterable[Record]) -> Mapping[Verdict, int]:
    found = Counter(record.verdict for record in records)
    return {verdict: found[verdict] for verdict in Verdict if found[verdict]}


def bins_of(records: Sequence[Record]) -> tuple[Bin, ...]:
    """Builds by time, the oldest first and none left out between; weeks begin on Monday."""
    if not records:
        return ()
    times = [record.began for record in records]
    first, last = min(times), max(times)
    # With few builds, wide bars read better than many bars of one build.
    most = min(_MOST_BINS, max(_LEAST_BINS, len(records) // 3))
    step = next((each for each in _STEPS if (last - first) / each < most - 1), _STEPS[-1])
    offset = (first - _MONDAY) // step
    found: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        found[(record.began - _MONDAY) // step - offset].append(record)
    return tuple(
        Bin(
            _MONDAY + step * (offset + number),
            step,
            verdicts_of(found.get(number, ())),
            tuple(sorted(each.seconds for each in found.get(number, ()) if each.seconds)),
        )
        for number in range(max(found) + 1)
    )


def run_stories(records: Sequence[Record]) -> list[RunStory]:
    """Of `records`, the newest first: flaky runs first, then those that fail most."""
    found: dict[tuple[Project, str], list[tuple[Record, RunRecord]]] = defaultdict(list)
    for record in records:
        for run in record.runs:
            if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
                found[record.project, run.name].append((record, run))
    stories = [_story(project, name, ends) for (project, name), ends in found.items()]
    return sorted(
        stories,
        key=lambda each: (
            not each.flaky,
            -(each.both_ways + each.after_retry),
            each.passed / each.ended,
            each.name,
            _sorted(each.project),
        ),
    )


def _own_failure(run: RunRecord) -> bool:
    """Whether an attempt failed for what may be the run's own fault; so is what nobody knows."""
    if not run.failures:
        return run.status is RunStatus.FAILED
    return not _NOT_ITS_OWN.issuperset(run.failures)


def _sorted(project: Project) -> tuple[str, ...]:
    return project.subject, project.folder, project.plan or ""


def _story(project: Project, name: str, ends: Sequence[tuple[Record, RunRecord]]) -> RunStory:
    passed = [(record, run) for record, run in ends if run.status is RunStatus.SUCCEEDED]
    of_commits: dict[str, set[RunStatus]] = defaultdict(set)
    for record, run in ends:
        if record.commit is not None and (run.status is RunStatus.SUCCEEDED or _own_failure(run)):
            of_commits[record.commit].add(run.status)
    torn = {commit for commit, statuses in of_commits.items() if len(statuses) > 1}
    seconds = sorted(run.seconds for _, run in passed if run.seconds is not None)
    flaked = (
        record
        for record, run in ends
        if record.commit in torn or (run.status is RunStatus.SUCCEEDED and _own_failure(run))
    )
    return RunStory(
        project,
        name,
        len(ends),
        len(passed),
        len(torn),
        sum(_own_failure(run) for _, run in passed),
        quantile(seconds, 0.5) if seconds else None,
        tuple((run.status, record) for record, run in reversed(ends[:OUTCOMES])),
        next(flaked, None),
    )


def courses_of(records: Sequence[Record]) -> list[Course]:
    """Of `records`, the newest first: metrics of the gate first, then those seen most.

    A build also counts as promoted when another one, which trained nothing, promoted its version.
    """
    later = {record.version for record in records if record.kind == "promote" and record.promoted}
    found: dict[tuple[Project, str, str], list[tuple[Record, MetricRecord]]] = defaultdict(list)
    for record in records:
        promoted = record.version is not None and record.version in later
        seen = replace(record, outcome=PromotionOutcome.PROMOTED) if promoted else record
        for metric in record.metrics:
            found[record.project, metric.run, metric.metric].append((seen, metric))
    courses = [
        _course(*key, values[::-1])
        for key, values in found.items()  # the oldest first
    ]
    return sorted(
        courses,
        key=lambda each: (
            not each.gated,
            -each.builds,
            _sorted(each.project),
            each.run,
            each.metric,
        ),
    )


def _course(
    project: Project, run: str, metric: str, values: Sequence[tuple[Record, MetricRecord]]
) -> Course:
    many = len(values)
    groups = min(many, _MOST_POINTS)
    edges = [many * number // groups for number in range(groups + 1)]
    return Course(
        project,
        run,
        metric,
        tuple(_point(values[start:end]) for start, end in pairwise(edges)),
        many,
        sum(record.promoted for record, _ in values),
        values[-1][1],
        any(each.passed is not None for _, each in values),
    )


def _point(values: Sequence[tuple[Record, MetricRecord]]) -> Point:
    ordered = sorted(each.value for _, each in values)
    record, last = values[-1]
    promoted = [each for each, _ in values if each.promoted]
    return Point(
        value=quantile(ordered, 0.5),
        low=ordered[0],
        high=ordered[-1],
        began=record.began,
        builds=len(values),
        build_id=record.build_id,
        failed=sum(each.passed is False for _, each in values),
        promoted=len(promoted),
        version=promoted[-1].version if promoted else None,
        at_least=last.at_least,
        at_most=last.at_most,
    )
