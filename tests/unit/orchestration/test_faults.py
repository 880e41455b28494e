"""What becomes of a build that a fault strikes, by table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlgate.orchestration import faults, steps
from mlgate.orchestration.builds import Phase, PipelineAddress
from mlgate.orchestration.errors import BadMessage, Finding, Permanent, Temporary, UnfitHost
from tests.unit.orchestration.builders import NOON, build, run

RECEIVED: dict[str, Any] = {"phase": Phase.RECEIVED}
WATCHING: dict[str, Any] = {"phase": Phase.WATCHING}
ENDING: dict[str, Any] = {"phase": Phase.WATCHING, "ending_since": NOON}
COMPLETING: dict[str, Any] = {"phase": Phase.COMPLETING}

ADDRESS = PipelineAddress("https://dev.azure.com/o/", "p", "build", "1", "2", "3", "4")
WAITED_FOR: dict[str, Any] = WATCHING | {"pipeline": ADDRESS}

BUSY, GONE, BUG = Temporary("busy"), Permanent("gone"), ZeroDivisionError("bug")
LONG = Temporary("throttled", 1800)
UNFIT = UnfitHost("not allowed")
FINDING = Finding("no-match", "/runs/0", "No.", "Yes.")
BAD = BadMessage([FINDING])
A_BUG = "mlgate met an unexpected error: ZeroDivisionError('bug')"
GRACE, HOUR = steps.ENDING_GRACE, timedelta(hours=1)  # the build's deadline is an hour after NOON
SECOND = timedelta(seconds=1)


def retry(seconds: float) -> faults.Retry:
    return faults.Retry(NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("state", "error", "errors", "fate"),
    [
        (WATCHING, BUSY, 1, retry(5)),
        (WATCHING, BUSY, 3, retry(8)),
        (WATCHING, BUSY, 9999, retry(60)),
        (WATCHING, LONG, 1, retry(60)),
        (WAITED_FOR, LONG, 1, retry(30)),
        (WAITED_FOR, BUSY, 9999, retry(30)),
        (WAITED_FOR | ENDING, LONG, 1, retry(30)),
        (WAITED_FOR | {"deadline": NOON + 9 * SECOND}, LONG, 1, retry(9)),
        (WAITED_FOR | ENDING | {"deadline": NOON}, LONG, 1, retry(30)),
        (WATCHING, BUG, 1, retry(2)),
        (WATCHING, BUG, 4, retry(16)),
        (WATCHING, BUG, 5, faults.CancelRuns(infrastructure=True)),
        (WATCHING, GONE, 1, faults.CancelRuns(infrastructure=False)),
        (RECEIVED, BUSY, 6, retry(60)),
        (RECEIVED, LONG, 1, retry(1800)),
        (RECEIVED | {"deadline": NOON + 9 * SECOND}, LONG, 1, retry(9)),
        (RECEIVED, BUSY, 7, faults.Fail("busy Tried 7 times.", infrastructure=True)),
        (RECEIVED, BUG, 5, faults.Fail(A_BUG, infrastructure=True)),
        (RECEIVED, GONE, 1, faults.Fail("gone", infrastructure=False)),
        (RECEIVED, BAD, 1, faults.Fail(str(BAD), infrastructure=False, findings=(FINDING,))),
        (ENDING, GONE, 9, retry(60)),
        (COMPLETING, BUSY, 9999, retry(60)),
        (COMPLETING | {"deadline": NOON + SECOND}, LONG, 1, retry(1800)),
        (COMPLETING, GONE, 1, faults.LeaveUntold()),
        (COMPLETING, UNFIT, 9999, retry(60)),
        (COMPLETING, BUG, 5, faults.LeaveUntold()),
        (ENDING | COMPLETING, BUSY, 1, retry(5)),
    ],
)
def test_a_fault_is_retried_until_trying_again_cannot_help(
    state: dict[str, Any], error: Exception, errors: int, fate: faults.Fate
) -> None:
    assert faults.fate(build(run("a"), **state), error, errors, NOON) == fate


@pytest.mark.parametrize(
    ("state", "limit", "fate"),
    [
        (ENDING, GRACE - SECOND, faults.Surrender()),
        (COMPLETING, HOUR + faults.POSTING_LIMIT, faults.LeaveUntold()),
    ],
)
def test_an_end_that_is_only_put_off_comes_in_time(
    state: dict[str, Any], limit: timedelta, fate: faults.Fate
) -> None:
    struck = build(run("a"), **state)

    assert isinstance(faults.fate(struck, BUSY, 1, NOON + limit), faults.Retry)
    assert faults.fate(struck, BUSY, 1, NOON + limit + SECOND) == fate
