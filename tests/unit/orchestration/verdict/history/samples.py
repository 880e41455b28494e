"""Histories as teams have them: two repositories, a metric that gets better, a run that is flaky.

The same for the same number of builds.
"""

from __future__ import annotations

import hashlib
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.promotions import PromotionOutcome
from mlgate.orchestration.runs import FailureKind, RunStatus
from mlgate.orchestration.verdict.history.records import MetricRecord, Project, Record, RunRecord

NOW = datetime(2026, 11, 27, 16, 40, tzinfo=UTC)  # a Friday
CHURN = Project("https://dev.azure.com/contoso/models/_git/churn")
DEMAND = Project("https://dev.azure.com/contoso/models/_git/demand-forecast")
DIED = (FailureKind.KERNEL_DIED,)  # what is retried, and may be a run's own fault
PASSED, FAILED = RunStatus.SUCCEEDED, RunStatus.FAILED


def a_record(number: int = 1, *runs: RunRecord, **fields: Any) -> Record:
    """Build `number` of a history in which a build begins each hour."""
    given = {
        "key": f"{number:032x}",
        "build_id": f"{20_000 + number}",
        "kind": "start",
        "project": CHURN,
        "commit": f"{number:040x}",
        "began": NOW - timedelta(days=30) + timedelta(hours=number),
        "seconds": 600.0,
        "verdict": Verdict.SUCCEEDED,
        "total": len(runs),
        "passed": sum(run.status is PASSED for run in runs),
        "runs": runs,
    }
    return Record(**{**given, **fields})


def a_history(count: int, every: timedelta = timedelta(hours=2)) -> list[Record]:
    """The newest first."""
    chance = random.Random(count)
    records = [_of_team(number, count, every, chance) for number in range(count)]
    return records[::-1]


def _of_team(number: int, count: int, every: timedelta, chance: random.Random) -> Record:
    at = number / max(count - 1, 1)
    began = NOW - every * (count - number) + every * 0.9 * chance.random()
    forecast = number % 4 == 3
    r2 = 0.86 + 0.08 * (1 - math.exp(-3 * at)) + chance.gauss(0, 0.008)
    explored = chance.random() < 0.93
    retried = chance.random() < 0.05
    runs = (
        RunRecord("prepare-data", PASSED, (), 40 + 10 * chance.random()),
        RunRecord("explore", PASSED if explored else FAILED, (), 110 + 60 * chance.random()),
        RunRecord(
            "train", PASSED, DIED if retried else (), 380 * (1 + 0.7 * at) + 90 * chance.random()
        ),
        RunRecord("report-for-the-business", PASSED, (), 35.0),
    )
    bound = 0.85 if at < 0.5 else 0.9
    held = r2 >= bound
    rmse = 42 - 6 * at + chance.gauss(0, 1.2)
    metrics = (
        MetricRecord("train", "r2", r2, at_least=bound, passed=held),
        MetricRecord("train", "rmse", rmse, at_most=45.0, passed=rmse <= 45),
        MetricRecord("train", "training_rows", 120_000 + number * 7),
        MetricRecord("explore", "missing_ratio", abs(chance.gauss(0.02, 0.008))),
    )
    canceled = chance.random() < 0.03
    good = explored and held and rmse <= 45
    verdict = Verdict.CANCELED if canceled else Verdict.SUCCEEDED if good else Verdict.FAILED
    promoted = good and not canceled and chance.random() < 0.2
    reasons = {
        Verdict.SUCCEEDED: "4 of 4 runs passed, and train: r2 is 0.9.",
        Verdict.CANCELED: "Canceled before all runs had ended.",
        Verdict.FAILED: f"train: r2 is {r2:.4f}, must be at least {bound}."
        if explored
        else "3 of 4 runs passed; all must pass. explore failed (code, cell 7): KeyError: 'demand'",
    }
    return a_record(
        number,
        *runs,
        began=began,
        commit=hashlib.sha1(f"{number // 2}".encode()).hexdigest(),
        project=DEMAND if forecast else CHURN,
        seconds=sum(run.seconds or 0 for run in runs),
        verdict=verdict,
        reason=reasons[verdict],
        metrics=metrics,
        model="churn" if good else None,
        outcome=PromotionOutcome.PROMOTED if promoted else PromotionOutcome.KEPT if good else None,
        version=hashlib.sha1(f"v{number}".encode()).hexdigest()[:12] if promoted else None,
    )
