"""Any build at all: whatever its types allow, and what of it others have written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import strategies as st

from mlgate.orchestration.builds import (
    Build,
    Gate,
    GateMetric,
    MetricCheck,
    Phase,
    RepositoryRequest,
    RunState,
    Trouble,
    TroubleKind,
    Verdict,
)
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.runs import (
    CellEvent,
    Failure,
    FailureKind,
    RunKind,
    RunSpec,
    RunStatus,
)
from tests.unit.orchestration.verdict.samples import code_cell, executed, notebook, plot

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["a", "\ud800", "x\x1b[31m\n|`<&\"'", "w" * 3000]
)
ANY_NUMBER = st.floats() | st.integers() | st.sampled_from([10**400, -(10**400)])
ANY_ZONE = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EDGES = [datetime.min, datetime.max]  # noqa: DTZ901 -- each gets any zone
ANY_TIME = st.builds(
    lambda moment, zone: moment.replace(tzinfo=zone),
    st.datetimes() | st.sampled_from(EDGES),
    ANY_ZONE,
)
MAYBE_TIME = st.none() | ANY_TIME
NAMES = st.sampled_from(["a", "b", "c"]) | ANY_TEXT
TEXTS = st.lists(ANY_TEXT, max_size=2).map(tuple) | st.just(("w",) * 100)
METRICS = st.dictionaries(ANY_TEXT, ANY_NUMBER, max_size=3) | st.just(
    {f"m{number}": float("nan") for number in range(40)}
)
FAILURES = st.builds(
    Failure,
    st.sampled_from(FailureKind),
    ANY_TEXT,
    st.none() | st.integers(),
    st.none() | ANY_TEXT,
)
SPECS = st.builds(
    RunSpec,
    NAMES,
    st.sampled_from(RunKind),
    path=st.none() | ANY_TEXT,
    command=st.none() | ANY_TEXT,
    needs=st.lists(NAMES, max_size=7).map(tuple),
)
TROUBLES = st.lists(
    st.builds(
        Trouble, ANY_TEXT, st.sampled_from(TroubleKind), ANY_TIME, st.integers(1, 9), ANY_TEXT
    ),
    max_size=2,
).map(tuple)


def _with_evidence(run: RunState, names: frozenset[str]) -> RunState:
    return replace(run, evidence=tuple(f"runs/{run.spec.name}/{name}" for name in names))


RUNS = st.builds(
    _with_evidence,
    st.builds(
        RunState,
        SPECS,
        status=st.sampled_from(RunStatus),
        attempt=st.integers(1, 9),
        submitted=st.booleans(),
        ended=st.booleans(),
        started_at=MAYBE_TIME,
        finished_at=MAYBE_TIME,
        cells=st.lists(st.builds(CellEvent, st.integers(), st.floats(), ANY_TEXT), max_size=2).map(
            tuple
        ),
        cells_total=st.none() | st.integers(),
        activity=st.none() | ANY_TEXT,
        failure=st.none() | FAILURES,
        metrics=METRICS,
        outputs=TEXTS,
        warnings=TEXTS,
        studio_url=st.none() | ANY_TEXT | st.just("https://ml.azure.com/\ud800"),
    ),
    st.frozensets(st.sampled_from(["log.txt", "executed.ipynb", "executed.html"])),
)
GATE_METRICS = st.builds(
    GateMetric, NAMES, ANY_TEXT, at_least=st.none() | ANY_NUMBER, at_most=st.none() | ANY_NUMBER
)
CHECKS = st.builds(MetricCheck, GATE_METRICS, st.none() | ANY_NUMBER, st.booleans(), ANY_TEXT)
CONDITIONS = st.sampled_from(["all_pass", "any_pass"]) | st.integers(1, 500)
FINDINGS = st.builds(Finding, ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
BUILDS = st.builds(
    Build,
    key=st.just("0123456789abcdef"),
    build_id=ANY_TEXT,
    request=st.dictionaries(st.just("build_id"), ANY_TEXT | st.integers()),
    repository=st.none() | st.builds(RepositoryRequest, ANY_TEXT, st.none() | ANY_TEXT, ANY_TEXT),
    backend=ANY_TEXT,
    received_at=ANY_TIME,
    deadline=ANY_TIME,
    phase=st.sampled_from(Phase),
    commit=st.none() | ANY_TEXT,
    runs=st.lists(RUNS, max_size=3).map(tuple),
    gate=st.builds(Gate, CONDITIONS, st.lists(GATE_METRICS, max_size=2).map(tuple)),
    warnings=TEXTS,
    cancel_requested=st.none() | ANY_TEXT,
    pipeline_ended=st.booleans(),
    ending_since=MAYBE_TIME,
    troubles=TROUBLES,
    findings=st.lists(FINDINGS, max_size=2).map(tuple),
    verdict=st.none() | st.sampled_from(Verdict),
    reason=ANY_TEXT,
    metric_checks=st.lists(CHECKS, max_size=2).map(tuple),
    finished_at=MAYBE_TIME,
)
NOTEBOOKS = st.sampled_from(
    [
        None,
        b"",
        b"no notebook",
        executed(5, failing=3, plotting=[1]),
        notebook(code_cell(1, source="\ud800 <x>"), code_cell(2, outputs=[plot(), {"data": 3}])),
    ]
)
