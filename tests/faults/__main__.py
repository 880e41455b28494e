"""`make faults`: every trial there is; prints what was tried, what did not hold, and how late."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta

from tests.faults.points import Result, attempt, trials


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", default="", help="trials whose name holds this")
    parser.add_argument("--each", type=int, default=1, help="every so many-th trial alone")
    options = parser.parse_args()
    chosen = [trial for trial in trials() if options.only in str(trial)][:: options.each]
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count(), initializer=_quiet) as pool:
        results = []
        for result in pool.map(attempt, chosen, chunksize=8):
            results.append(result)
            if result.violations:
                print(result.trial, *result.violations, sep="\n    ", flush=True)
            if sys.stderr.isatty() and len(results) % 50 == 0:
                print(f"\r{len(results)}/{len(chosen)}", end="", file=sys.stderr)
    wrong = [result for result in results if result.violations]
    struck = [result for result in results if result.struck]
    print(
        f"{len(results)} points tried, {len(struck)} struck, {len(wrong)} violations, "
        f"{time.monotonic() - began:.0f} s"
    )
    for row, worst in sorted(_worst(results).items()):
        print(f"  {row:<34} told {_minutes(worst.late):>9} later at the latest: {worst.trial}")
    return 1 if wrong or not struck else 0


def _worst(results: list[Result]) -> dict[str, Result]:
    rows = defaultdict[str, list[Result]](list)
    for result in results:
        if result.late is not None:
            rows[result.row].append(result)
    return {row: max(those, key=_late) for row, those in rows.items()}


def _late(result: Result) -> timedelta:
    return result.late or timedelta(0)


def _minutes(late: timedelta | None) -> str:
    return "-" if late is None else f"{late / timedelta(minutes=1):.1f} min"


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
