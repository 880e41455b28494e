"""locust, as `python program.py FOLDER SECONDS ARGUMENTS`: it ends on time, and says why it failed.

locust's own `--run-time` counts from a clock that stood still while locust was imported, so it is a
second short or more. Why requests failed is in none of its files but the CSV ones, which lack what
happened last; what a locustfile raises beside its requests is in no file that counts as a failure.
Here it is `told.json`: {"seconds": from the start of the load until its last caller has stopped,
"reasons": [text], "raised": [text]}.

It is executed in locust's environment, so nothing of ours is imported.
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
    """Have the next run end after so many seconds, and leave what it has to tell in the folder."""

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
    def tell(environment: Any, **_: object) -> None:
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
        told = {"seconds": lasted, "reasons": _texts(reasons), "raised": _texts(raised)}
        (folder / "told.json").write_text(json.dumps(told), "utf-8")


def _texts(counted: list[tuple[int, str]]) -> list[str]:
    """The most frequent ones first."""
    first = sorted(counted, reverse=True)[:_MOST]
    return [f"{count} times {text[:_CHARACTERS]}" for count, text in first]


if __name__ == "__main__":
    _, where, long, *sys.argv[1:] = sys.argv
    attend(Path(where), float(long))
    main()
