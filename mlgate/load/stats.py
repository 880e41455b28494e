"""What locust measured, from the files that it writes when it ends, and whether that is enough."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass

_REASONS = 5  # of failures, that are shown


class NoStats(Exception):
    """What there is was not written by a locust that came to its end."""


@dataclass(frozen=True)
class Measured:
    """Percentiles are None where nothing was answered; of 100 ms and more, locust keeps two
    digits."""

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
    """How long the load lasted; why requests failed, and what the locustfile raised beside them."""

    seconds: float = 0.0
    reasons: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """`failures` is a share of the requests; None where it may be any."""

    p95_ms: float | None = None
    failures: float | None = 0.0

    def broken(self, measured: Measured) -> list[str]:
        """A sentence for each."""
        found = []
        if self.failures is not None and measured.failure_ratio > self.failures:
            may = f"{self.failures:.2%}" if self.failures else "none"
            found.append(
                f"{measured.failures:,} of {measured.requests:,} requests failed "
                f"({measured.failure_ratio:.2%}), and {may} may."
            )
        if self.p95_ms is not None and (measured.p95_ms is None or measured.p95_ms > self.p95_ms):
            took = "is not known" if measured.p95_ms is None else f"is {measured.p95_ms:g} ms"
            found.append(f"p95 {took}, and must be at most {self.p95_ms:g} ms.")
        return found


def faults(
    measured: Measured, told: Told, code: int, last: str, *, asked: bool = True
) -> list[str]:
    """What no limit allows, a sentence for each; `last` is the last thing that locust said.

    No request at all is one, whatever locust says; so is a model that was not `asked`.
    """
    found = []
    if not measured.requests:
        found.append("No request was made.")
    elif not asked:
        found.append("The model got no request.")
    if told.raised:
        found.append(f"The locustfile raised: {told.raised[0]}")
    if code:  # a locustfile may judge for itself
        found.append(f"locust ended with code {code}: {last}")
    return found


def measured(content: bytes, seconds: float) -> Measured:
    """From locust's `--json-file`, an entry for each name of a request. Raises NoStats.

    `seconds` is how long the load lasted: locust counts from its first answer, which leaves out
    what that one took.
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
    """From what `program` wrote. Raises NoStats."""
    try:
        found = json.loads(content)
        texts = (tuple(map(str, found[name])) for name in ("reasons", "raised"))
        return Told(float(found["seconds"]), *texts)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NoStats(f"what locust wrote at its end cannot be read: {error!r}") from None


def shown(told: Told) -> list[str]:
    """The first reasons, and how many more there are."""
    more = len(told.reasons) - _REASONS
    end = [f"and {more} more reasons"] if more > 0 else []
    return [*told.reasons[:_REASONS], *end]


def _percentile(times: Counter[float], percent: int) -> float | None:
    """The least time that so many percent of the requests took at most."""
    left = math.ceil(sum(times.values()) * percent / 100)
    for milliseconds, count in sorted(times.items()):
        left -= count
        if left <= 0:
            return milliseconds
    return None
