"""What locust measured is read from its files, and judged by that alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgate.load.stats import Limits, Measured, NoStats, Told, faults, measured, shown, told


def entry(times: dict[str, int], failures: int = 0, **more: Any) -> dict[str, Any]:
    """As locust 2.47 writes one."""
    return {
        "name": "/invocations",
        "method": "POST",
        "start_time": 109.0,  # after its first answer
        "last_request_timestamp": 110.0,
        "num_requests": sum(times.values()),
        "num_none_requests": 0,
        "num_failures": failures,
        "response_times": times,
        **more,
    }


def of(*entries: Any, seconds: float = 10) -> Measured:
    return measured(json.dumps(entries).encode(), seconds)


def test_the_requests_of_all_names_are_one_measurement() -> None:
    one = entry({"10": 50, "20": 40}, failures=9)
    two = entry({"300": 10}, failures=1)
    found = of(one, two, seconds=12)

    assert (found.requests, found.failures, found.failure_ratio) == (100, 10, 0.1)
    assert found.requests_per_second == pytest.approx(100 / 12)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (10, 300, 300)
    assert of(entry({"10": 95, "300": 5})).p95_ms == 10
    assert of(entry({"10": 94, "300": 6})).p95_ms == 300


def test_without_a_request_nothing_is_known_and_no_limit_holds() -> None:
    found = of()

    assert (found.requests, found.requests_per_second, found.p95_ms) == (0, 0.0, None)
    assert faults(found, Told(), 0, "") == ["No request was made."]


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        (Told(), 0, []),
        (Told(reasons=("2 times HTTP 500",)), 0, []),
        (Told(raised=("2 times mine", "once more")), 0, ["The locustfile raised: 2 times mine"]),
        (Told(), 7, ["locust ended with code 7: it gave up"]),
    ],
)
def test_what_no_limit_allows_is_a_fault_whatever_was_measured(
    told: Told, code: int, said: list[str]
) -> None:
    assert faults(of(entry({"10": 100})), told, code, "it gave up") == said


def test_a_load_that_asked_something_else_than_the_model_is_a_fault() -> None:
    found = faults(of(entry({"10": 100})), Told(), 0, "", asked=False)
    assert found == ["The model got no request."]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(), ["1 of 100 requests failed (1.00%); the limit is 0."]),
        (Limits(failures=0.01), []),
        (Limits(failures=None), []),
        (Limits(p95_ms=20, failures=0.01), []),
        (Limits(p95_ms=19.5, failures=0.01), ["p95 is 20 ms; the limit is 19.5 ms."]),
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
        measured(content, 10)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"seconds": 1, "reasons": 1, "raised": []}',
        b'{"seconds": 1, "raised": []}',
        b'{"reasons": [], "raised": []}',
    ],
)
def test_what_the_program_did_not_write_to_its_end_is_no_measurement(content: bytes) -> None:
    with pytest.raises(NoStats):
        told(content)


def test_the_first_reasons_are_shown() -> None:
    reasons = [str(number) for number in range(8)]
    content = {"seconds": 1.5, "reasons": reasons, "raised": ["a"]}
    found = told(json.dumps(content).encode())

    assert (found.seconds, found.raised) == (1.5, ("a",))
    assert shown(found) == ["0", "1", "2", "3", "4", "and 3 more reasons"]
    assert shown(Told(reasons=("a", "b"))) == ["a", "b"]
