"""What is believed of a run's record: nothing of it can break a build, or weigh it down."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from handlers.azureml_handler import outcomes as azureml
from handlers.local_handler import outcomes as local
from handlers.local_handler.attempts import AttemptFolder, Ended
from mlgate.orchestration.backends.launching import MOST_CELLS, Record, time_of
from mlgate.orchestration.runs import Observation, Outcome, RunKind, RunSpec

# Bytes of JSON, were each character a control character, of which JSON makes six.
LARGEST_OUTCOME = 3 << 20
LARGEST_OBSERVATION = 256 << 10
SPEC = RunSpec("a", RunKind.TRAINING, command="x")
OUTCOMES: TypeAdapter[Outcome] = TypeAdapter(Outcome)
OBSERVATIONS: TypeAdapter[Observation] = TypeAdapter(Observation)

texts = st.text(max_size=30) | st.builds(
    lambda text, times: text * times, st.text(max_size=3), st.sampled_from([600, 5_000, 90_000])
)
times = st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "2026-01-01T12:00:00Z",
     "2026-01-01T12:00:00+23:59:59.999999"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | times | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
many = st.sampled_from([0, 1, 201, 1_001, 5_000])
warnings = st.builds(lambda text, number: [text[:600]] * number, texts, many)
metrics = st.builds(
    lambda text, number, value: {f"{text[:300]}{n}": value for n in range(number)},
    texts,
    many,
    st.integers() | st.floats(),
)
failures = st.fixed_dictionaries(
    {"kind": st.sampled_from(["code", "?"]) | values, "message": texts | values},
    optional={"cell": values, "traceback": texts | values},
)
records = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["succeeded", "failed", "canceled"]) | values,
        "failure": failures | values,
        "metrics": metrics | values,
        "warnings": warnings | values,
        "started_at": times | values,
        "finished_at": times | values,
    },
)
contents = st.binary(max_size=200) | (records | values).map(
    lambda value: json.dumps(value).encode()
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
events = st.lists(
    st.fixed_dictionaries(
        {"event": st.sampled_from(["started", "cell"])},
        optional={
            "number": scalars | st.just(10**400),
            "seconds": scalars | st.just(10**400),
            "cells_total": scalars | st.lists(scalars, max_size=2),
            "status": st.just("succeeded") | scalars,
        },
    )
    | scalars,
    max_size=4,
)


def as_json(kind: TypeAdapter[Any], value: object) -> bytes:
    """With numbers that are none as they are, as builds are remembered."""
    return json.dumps(kind.dump_python(value, mode="json"), ensure_ascii=False).encode()


def is_shown(time: datetime | None) -> bool:
    """Whether it can be told in each zone, and is remembered as it is."""
    if time is None:
        return True
    shown = [time.astimezone(UTC) + timedelta(hours=hours) for hours in (-24, 24)]
    return len(shown) == 2 and datetime.fromisoformat(time.isoformat()) == time


@settings(max_examples=150, deadline=None)
@given(contents, st.sampled_from(["Completed", "Failed", "Canceled", "?"]))
def test_whatever_a_record_says_the_outcome_is_small_and_can_be_remembered(
    content: bytes, status: str
) -> None:
    with TemporaryDirectory() as name:
        folder = AttemptFolder(Path(name))
        folder.output.mkdir()
        (folder.output / "outcome.json").write_bytes(content)
        found = [local.outcome(folder, Ended(None, exit_code=code)) for code in (0, 1)]
    found.append(azureml.outcome(SPEC, {"status": status}, content))
    for outcome in found:
        dumped = as_json(OUTCOMES, outcome)
        assert len(dumped) < LARGEST_OUTCOME
        assert OUTCOMES.validate_json(dumped).status is outcome.status
        assert is_shown(outcome.started_at)
        assert is_shown(outcome.finished_at)


@settings(max_examples=60, deadline=None)
@given(events, st.sampled_from([1, 1, 1, 2_500]), st.binary(max_size=50))
def test_whatever_events_say_the_observation_is_small(
    told: list[Any], times: int, rest: bytes
) -> None:
    lines = b"\n".join(json.dumps(event).encode() for event in told * times)
    with TemporaryDirectory() as name:
        folder = AttemptFolder(Path(name))
        folder.events.write_bytes(lines + b"\n" + rest)
        found = local.observation(folder)
    assert len(found.cells) <= MOST_CELLS
    assert len(as_json(OBSERVATIONS, found)) < LARGEST_OBSERVATION


def test_the_worst_record_is_below_the_bound_and_says_once_what_was_left_out() -> None:
    worst = "\x01" * 100_000
    claimed = {
        "status": "failed",
        "failure": {"kind": "code", "message": worst, "traceback": worst},
        "metrics": {f"{n:06}{worst[:244]}": 1e-300 for n in range(1_200)} | {worst: 1},
        "warnings": [worst] * 203,
    }
    outcome = azureml.outcome(SPEC, {"status": "Failed"}, json.dumps(claimed).encode())
    assert (1 << 20) < len(as_json(OUTCOMES, outcome)) < LARGEST_OUTCOME
    assert (len(outcome.metrics), len(outcome.warnings)) == (1_000, 201)
    assert outcome.warnings[-1] == (
        "3 more warnings and 201 metrics were left out: a run may have 200 warnings, and 1,000 "
        "metrics with names of 250 characters."
    )


@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        ({"warnings": ["w"] * 200, "metrics": {"m" * 250: 1}}, []),
        ({"warnings": ["w"] * 201}, ["1 more warning was left out"]),
        ({"metrics": {"m" * 251: 1}}, ["1 metric was left out"]),
        ({"metrics": {"m" * 251: 1, "n" * 251: 1}}, ["2 metrics were left out"]),
    ],
)
def test_what_was_left_out_is_counted(claimed: dict[str, Any], told: list[str]) -> None:
    found = Record.read(json.dumps(claimed).encode()).warnings
    assert [text.partition(":")[0] for text in found if text != "w"] == told


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1999-12-31T23:59:59Z", None),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2200-12-31T23:00:00+01:00", datetime(2200, 12, 31, 22, tzinfo=UTC)),
        ("2201-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00", None),
        (7, None),
    ],
)
def test_times_are_of_our_age_and_in_utc(text: object, time: datetime | None) -> None:
    found = time_of(text)
    assert found == time
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize("content", [None, b"", b"{", b"[" * 100_000, b"[]", b"\xff", b"7"])
def test_a_record_that_is_none_claims_nothing(content: bytes | None) -> None:
    assert Record.read(content) == Record()
