"""Reads what locust measured from the files it writes at its end, and checks it against limits."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass

_REASONS = 5  # of failures, that are shown


class NoStats(Exception):
    """There are no complete statistics: locust did not end normally."""


@dataclass(frozen=True)
class Measured:
    """The measurements. Percentiles are None if nothing was answered.

    Locust rounds times of 100 ms and more to two digits.
    """

    requests: int
    failures: int
    requests_per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @property
    def failure_ratio(self) -> float:
        return self.failures / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Told:
    """How long the load lasted, why requests failed, and what the locustfile raised otherwise."""

    seconds: float = 0.0
    reasons: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """`failures` is a share of the requests; None means no limit."""

    p95_ms: float | None = None
    failures: float | None = 0.0

    def broken(self, measured: Measured) -> list[str]:
        """A sentence for each exceeded limit."""
        found = []
        if self.failures is not None and measured.failure_ratio > self.failures:
            most = f"{self.failures:.2%}" if self.failures else "0"
            found.append(
                f"{measured.failures:,} of {measured.requests:,} requests failed "
                f"({measured.failure_ratio:.2%}); the limit is {most}."
            )
        if self.p95_ms is not None and (measured.p95_ms is None or measured.p95_ms > self.p95_ms):
            took = "is unknown" if measured.p95_ms is None else f"is {measured.p95_ms:g} ms"
            found.append(f"p95 {took}; the limit is {self.p95_ms:g} ms.")
        return found


def faults(
    measured: Measured, told: Told, code: int, last: str, *, asked: bool = True
) -> list[str]:
    """Problems that are failures whatever the limits, a sentence each.

    Making no request at all is one, and so is a model that got none (`asked` is false). `last` is
    the last line that locust logged.
    """
    found = []
    if not measured.requests:
        found.append("No request was made.")
    elif not asked:
        found.append("The model got no request.")
    if told.raised:
        found.append(f"The locustfile raised: {told.raised[0]}")
    if code:  # a locustfile may set it
        found.append(f"locust ended with code {code}: {last}")
    return found


def measured(content: bytes, seconds: float) -> Measured:
    """Read locust's `--json-file`, which has an entry for each name of a request. Raises NoStats.

    `seconds` is how long the load lasted. Locust's own duration starts with the first answer, so it
    leaves out the time for that one.
    """
    try:
        entries = json.loads(content)
        times: Counter[float] = Counter()
        for entry in entries:
            for milliseconds, count in entry["response_times"].items():
                times[float(milliseconds)] += int(count)
        requests = sum(int(entry["num_requests"]) for entry in entries)
        failures = sum(int(entry["num_failures"]) for entry in entries)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NoStats(f"locust's statistics cannot be read: {error!r}") from None
    return Measured(
        requests=requests,
        failures=failures,
        requests_per_second=requests / seconds if seconds else 0.0,
        p50_ms=_percentile(times, 50),
        p95_ms=_percentile(times, 95),
        p99_ms=_percentile(times, 99),
    )


def told(content: bytes) -> Told:
    """Read what `program` wrote. Raises NoStats."""
    try:
        found = json.loads(content)
        texts = (tuple(map(str, found[name])) for name in ("reasons", "raised"))
        return Told(float(found["seconds"]), *texts)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NoStats(f"what locust wrote at its end cannot be read: {error!r}") from None


def shown(told: Told) -> list[str]:
    """The first reasons, and the number of the others."""
    more = len(told.reasons) - _REASONS
    end = [f"and {more} more reasons"] if more > 0 else []
    return [*told.reasons[:_REASONS], *end]


def _percentile(times: Counter[float], percent: int) -> float | None:
    """The shortest time within which `percent` of the requests were answered."""
    left = math.ceil(sum(times.values()) * percent / 100)
    for milliseconds, count in sorted(times.items()):
        left -= count
        if left <= 0:
            return milliseconds
    return None
