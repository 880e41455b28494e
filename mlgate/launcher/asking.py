"""Sends requests to a loaded model, one after the other, in its own process: see `trial`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mlgate.scorer import requests
from mlgate.scorer.loading import Model, answer

MOST_DETAILED = 20  # failures that are described; others are only counted


def ask(
    model: Model,
    bodies: Sequence[Any],
    begin: Callable[[int, int], None],
    describe: Callable[[BaseException], dict[str, Any]],
) -> dict[str, Any]:
    """The results of all requests; a failed one does not stop the others.

    `begin` is called before each request, with its number from 1 and how many have failed.
    `describe` returns a description of an exception. `answers` has the first request's only.
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
        except BaseException as error:  # noqa: BLE001 -- includes SystemExit
            failed += 1
            if len(misses) < MOST_DETAILED:
                misses.append({"number": number, **describe(error)})
        seconds.append(round(time.perf_counter() - began, 6))
    return {
        "answers": answers,
        "seconds": seconds,
        "number": len(seconds),
        "failed": failed,
        "misses": misses,
    }
