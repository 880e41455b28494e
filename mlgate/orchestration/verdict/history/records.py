"""What the history keeps of a build that has ended: a few lines, however large the build was.

So thousands of builds fit into memory and into one small file, which hosts keep beside the page.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.promotions import PromotionOutcome
from mlgate.orchestration.runs import FailureKind, RunStatus
from mlgate.orchestration.text import as_float, in_utc, one_line
from mlgate.orchestration.verdict.facts import failures_of, run_seconds, seconds_between
from mlgate.orchestration.verdict.files import PAGE

MOST = 5_000  # builds
FORMAT = 2
_METRICS = 20  # of a build
_NAME, _TEXT = 120, 200  # characters
_LARGEST = 1e150  # the range of larger values would overflow
_ROOM = 32 << 20  # bytes of records as JSON with their runs and metrics; older ones have neither
_UNPACKED = 2 * _ROOM  # bytes; records without runs and metrics have at most some 5,000 each


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`failures` are why its attempts failed, each kind once; `seconds` those of the last one."""

    name: str
    status: RunStatus
    failures: tuple[FailureKind, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """`passed` is None for a metric that the gate did not ask for."""

    run: str
    metric: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """What builds have in common whose runs of one name are the same run.

    `subject` is the repository, or the model of a build without one; `folder` the subdirectory in
    it; `plan` the file there that names the runs, if one does.
    """

    subject: str
    folder: str = "."
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """`seconds` are from when it was received to its verdict. `runs` are all of its runs, or none
    where there is no room: never some of them, so that what is counted is true."""

    key: str
    build_id: str
    kind: str
    project: Project
    commit: str | None
    began: datetime
    seconds: float | None
    verdict: Verdict
    reason: str = ""
    total: int = 0
    passed: int = 0
    runs: tuple[RunRecord, ...] = ()
    metrics: tuple[MetricRecord, ...] = ()
    model: str | None = None
    outcome: PromotionOutcome | None = None
    version: str | None = None  # the id of the version that was weighed, or rolled back to
    report: bool = True  # its report was written

    @property
    def promoted(self) -> bool:
        return self.outcome is PromotionOutcome.PROMOTED


def record_of(build: Build) -> Record | None:
    """None for a build without a verdict."""
    if build.verdict is None:
        return None
    promotion = build.promotion
    return Record(
        key=build.key,
        build_id=one_line(build.build_id, _NAME),
        kind=build.kind,
        project=_project(build),
        commit=None if build.commit is None else one_line(build.commit, 64),
        began=in_utc(build.received_at),
        seconds=seconds_between(build.received_at, build.finished_at),
        verdict=build.verdict,
        reason=one_line(build.reason, _TEXT),
        total=len(build.runs),
        passed=sum(run.status is RunStatus.SUCCEEDED for run in build.runs),
        runs=tuple(map(_run, build.runs)),
        metrics=tuple(_metrics(build))[:_METRICS],
        model=None if promotion is None else one_line(promotion.model, _NAME),
        outcome=None if promotion is None else promotion.outcome,
        version=None if promotion is None else promotion.id,
        report=not any(warning.startswith(f"{PAGE} ") for warning in build.warnings),
    )


def _project(build: Build) -> Project:
    plan = build.request.get("runs_from")
    return Project(
        _unique(build.subject, _TEXT),
        "." if build.repository is None else _unique(build.repository.subdirectory, _TEXT),
        None if plan is None else _unique(str(plan), _TEXT),
    )


def newest(records: Iterable[Record]) -> list[Record]:
    """The newest first, each once, as many as there is room for; older ones without their runs
    and metrics."""
    known = {record.key: record for record in records}
    ordered = sorted(known.values(), key=lambda record: (record.began, record.key), reverse=True)
    return list(_within_room(ordered[:MOST]))


def packed(records: Iterable[Record]) -> bytes:
    """The same bytes for the same records."""
    return gzip.compress(_FILE.dump_json(_File(FORMAT, list(records))), mtime=0)


def unpacked(content: bytes) -> list[Record]:
    """Empty when this version cannot read the content: the state still has every build."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(content, _UNPACKED)
        file = _FILE.validate_json(text)
    except (zlib.error, ValidationError):
        return []
    return file.builds if file.version == FORMAT and not unpacker.unconsumed_tail else []


def _within_room(records: Iterable[Record]) -> Iterator[Record]:
    room = _ROOM
    for record in records:
        room -= len(_RECORD.dump_json(record))
        yield record if room >= 0 else replace(record, runs=(), metrics=())


def _run(run: RunState) -> RunRecord:
    return RunRecord(
        _unique(run.spec.name, _NAME),
        run.status,
        tuple(dict.fromkeys(failures_of(run))),
        run_seconds(run),
    )


def _metrics(build: Build) -> Iterator[MetricRecord]:
    """Those of the gate first, then those that models are compared by, then the others."""
    seen = set()
    for check in build.metric_checks:
        wanted = check.metric
        value = _drawable(check.value)
        if value is not None and (wanted.run, wanted.metric) not in seen:
            seen.add((wanted.run, wanted.metric))
            yield MetricRecord(
                _unique(wanted.run, _NAME),
                _unique(wanted.metric, _NAME),
                value,
                _drawable(wanted.at_least),
                _drawable(wanted.at_most),
                check.passed,
            )
    compared = build.promotion.comparison if build.promotion is not None else ()
    first = {(each.run, each.metric) for each in compared}
    others = [
        (run.spec.name, name, value)
        for run in build.runs
        for name, value in run.metrics.items()
        if (run.spec.name, name) not in seen
    ]
    for run, name, said in sorted(others, key=lambda each: (each[:2] not in first, *each[:2])):
        value = _drawable(said)
        if value is not None:
            yield MetricRecord(_unique(run, _NAME), _unique(name, _NAME), value)


def _drawable(value: float | None) -> float | None:
    number = None if value is None else as_float(value)
    return (
        number if number is not None and math.isfinite(number) and abs(number) < _LARGEST else None
    )


def _unique(text: str, most: int) -> str:
    """The text on one line, with a hash at its end where that says less than the text did."""
    line = one_line(text, most)
    if line == text:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{one_line(text, most - len(digest) - 1)} {digest}"


@dataclass(frozen=True, slots=True)
class _File:
    version: int
    builds: list[Record]


_FILE, _RECORD = TypeAdapter(_File), TypeAdapter(Record)
