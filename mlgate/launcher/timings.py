"""Turns the durations of requests into metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SHARES = (50, 95, 99)  # percent of the requests


def timings(seconds: Sequence[float]) -> dict[str, float]:
    """The metrics of requests that were sent one after the other; empty if there were none.

    A percentile is the time of one of the requests: at least that share of them took no longer.
    """
    if not seconds:
        return {}
    ordered, total = sorted(seconds), sum(seconds)
    found = {
        f"p{share}_ms": ordered[math.ceil(len(ordered) * share / 100) - 1] * 1000
        for share in _SHARES
    }
    return {"requests_per_second": len(ordered) / total, **found} if total else found
