"""What locust measured is read from its files, and judged by that alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgate.load.stats import Limits, Measured, NoStats, measured, reasons


def entry(times: dict[str, int], failures: int = 0, **more: Any) -> dict[str, Any]:
    """As locust 2.47 writes one."""
    return {
        "name": "/invocations",
        "method": "POST",
        "start_time": 100.0,
        "last_request_timestamp": 110.0,
        "num_requests": sum(times.values()),
        "num_none_requests": 0,
        "num_failures": failures,
        "response_times": times,
        **more,
    }


def of(*entries: Any) -> Measured:
    return measured(json.dumps(entries).encode())


def test_the_requests_of_all_names_are_one_measurement() -> None:
    one = entry({"10": 50, "20": 40}, failures=9)
    two = entry({"300": 10}, failures=1, start_time=98.0, last_request_timestamp=108.0)
    found = of(one, two)

    assert (found.requests, found.failures, found.failure_ratio) == (100, 10, 0.1)
    assert found.requests_per_second == pytest.approx(100 / 12)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (10, 300, 300)
    assert of(entry({"10": 95, "300": 5})).p95_ms == 10
    assert of(entry({"10": 94, "300": 6})).p95_ms == 300


def test_without_a_request_nothing_is_known_and_no_limit_holds() -> None:
    found = of()

    assert (found.requests, found.requests_per_second, found.p95_ms) == (0, 0.0, None)
    assert Limits(failures=1.0).broken(found) == ["No request was made."]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(), ["1 of 100 requests failed (1.00%), and 0.00% may."]),
        (Limits(failures=0.01), []),
        (Limits(p95_ms=20, failures=0.01), []),
        (Limits(p95_ms=19.5, failures=0.01), ["p95 is 20 ms, and must be at most 19.5 ms."]),
    ],
)
def test_each_limit_that_is_broken_is_a_sentence(limits: Limits, said: list[str]) -> None:
    assert limits.broken(of(entry({"10": 90, "20": 10}, failures=1))) == said


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"1", b"[1]", b'[{"num_requests": 1}]', json.dumps([entry({"x": 1})]).encode()],
)
def test_what_locust_did_not_write_to_its_end_is_no_measurement(content: bytes) -> None:
    with pytest.raises(NoStats):
        measured(content)


def test_the_first_reasons_are_shown() -> None:
    assert reasons(b"") == []
    assert reasons(json.dumps(["a", "b"]).encode()) == ["a", "b"]
    shown = reasons(json.dumps([str(number) for number in range(8)]).encode())
    assert shown == ["0", "1", "2", "3", "4", "and 3 more reasons"]
