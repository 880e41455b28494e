"""Runs locust so that it ends on time and reports errors: `program.py FOLDER SECONDS ARGUMENTS`.

locust's own `--run-time` is a second or more short, because its clock does not count the time while
locust is imported. Of locust's files, only the CSV ones say why requests failed, and they lack the
last failures; what a locustfile raises outside of requests counts as a failure in none of them. So
this program writes `reasons.json`: {"seconds": from the start of the load until its last caller has
stopped, "reasons": [text], "raised": [text]}.

It runs in locust's environment, so it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.main import main

_MOST, _CHARACTERS = 20, 2_000  # of texts, and of each


def attend(folder: Path, seconds: float) -> None:
    """Have the next run end after so many seconds and write `reasons.json` to the folder."""

    times: dict[str, float] = {}

    def end(environment: Any) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            gevent.sleep(min(left, 1.0))
        environment.runner.quit()

    @events.test_start.add_listener
    def begin(environment: Any, **_: object) -> None:
        times["began"] = time.monotonic()
        gevent.spawn(end, environment)

    @events.test_stop.add_listener
    def stopped(**_: object) -> None:
        times["ended"] = time.monotonic()

    @events.quitting.add_listener
    def report(environment: Any, **_: object) -> None:
        runner = environment.runner
        if runner is None:
            return
        reasons = [
            (each.occurrences, f"{each.method} {each.name}: {each.error}")
            for each in runner.stats.errors.values()
        ]
        raised = [(each["count"], str(each["msg"])) for each in runner.exceptions.values()]
        ended = times.get("ended", time.monotonic())
        lasted = ended - times.get("began", ended)
        found = {"seconds": lasted, "reasons": _texts(reasons), "raised": _texts(raised)}
        (folder / "reasons.json").write_text(json.dumps(found), "utf-8")


def _texts(counted: list[tuple[int, str]]) -> list[str]:
    """The most frequent texts first, each with its count."""
    first = sorted(counted, reverse=True)[:_MOST]
    return [f"{count} times {text[:_CHARACTERS]}" for count, text in first]


if __name__ == "__main__":
    _, where, long, *sys.argv[1:] = sys.argv
    attend(Path(where), float(long))
    main()
