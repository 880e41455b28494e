"""How fast requests were answered, as metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SHARES = (50, 95, 99)  # percent of the requests


def timings(seconds: Sequence[float]) -> dict[str, float]:
    """Of requests that were asked one after the other; none for no request.

    A percentile is the time of one of them: at least so many took no longer.
    """
    if not seconds:
        return {}
    ordered, total = sorted(seconds), sum(seconds)
    found = {
        f"p{share}_ms": ordered[math.ceil(len(ordered) * share / 100) - 1] * 1000
        for share in _SHARES
    }
    return {"requests_per_second": len(ordered) / total, **found} if total else found
