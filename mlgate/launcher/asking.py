"""A loaded model asked one request after the other, in its own process: see `trial`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mlgate.scorer import requests
from mlgate.scorer.loading import Model, answer

MOST_TOLD = 20  # failures of which more is said than that they were


def ask(
    model: Model,
    bodies: Sequence[Any],
    begin: Callable[[int, int], None],
    told: Callable[[BaseException], dict[str, Any]],
) -> dict[str, Any]:
    """What came of them all; a request that fails keeps none from being asked.

    `begin` is called before each, with its number from 1 and how many failed by then. `told` is
    what is said of an exception. `answers` are of the first request alone.
    """
    seconds, answers, failed = list[float](), list[Any](), 0
    misses: list[dict[str, Any]] = []
    for number, body in enumerate(bodies, 1):
        begin(number, failed)
        began = time.perf_counter()
        try:
            found = answer(model, requests.of_json(body))
            if number == 1:
                answers.append(found)
        except BaseException as error:  # noqa: BLE001 -- also what asks this process to exit
            failed += 1
            if len(misses) < MOST_TOLD:
                misses.append({"number": number, **told(error)})
        seconds.append(round(time.perf_counter() - began, 6))
    return {
        "answers": answers,
        "seconds": seconds,
        "number": len(seconds),
        "failed": failed,
        "misses": misses,
    }
