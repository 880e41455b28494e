"""locust, as `python program.py FOLDER SECONDS ARGUMENTS`: it ends on time, and says why it failed.

locust's own `--run-time` counts from a clock that stood still while locust was imported, so it is a
second short or more. Why requests failed is in none of its files but the CSV ones, which lack what
happened last: here it is `reasons.json`, a list of texts.

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

_MOST = 20  # reasons


def attend(folder: Path, seconds: float) -> None:
    """Have the next run end after so many seconds, and leave its reasons in the folder."""

    def end(environment: Any) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            gevent.sleep(min(left, 1.0))
        environment.runner.quit()

    @events.test_start.add_listener
    def begin(environment: Any, **_: object) -> None:
        gevent.spawn(end, environment)

    @events.quitting.add_listener
    def tell(environment: Any, **_: object) -> None:
        runner = environment.runner
        if runner is None:
            return
        errors = [
            (each.occurrences, f"{each.method} {each.name}: {each.error}")
            for each in runner.stats.errors.values()
        ]
        errors += [
            (each["count"], f"the locustfile raised: {each['msg']}")
            for each in runner.exceptions.values()
        ]
        told = [f"{count} times {text}" for count, text in sorted(errors, reverse=True)[:_MOST]]
        (folder / "reasons.json").write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    _, where, long, *sys.argv[1:] = sys.argv
    attend(Path(where), float(long))
    main()
