"""A limit on p95 holds for the model that it was set for, and not for one that became slower."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from tests.contract.launcher.harness import Run
from tests.contract.launcher.models import ASKED, EXAMPLE
from tests.support.models import SUM, pickled

TIMES = 20
SLOWER = SUM.replace("        return", "        import time; time.sleep(0.05)\n        return")
LOAD = {"users": 10, "spawn_rate": 10, "seconds": 2, "locustfile": None, "may_fail": False}


@pytest.mark.slow
def test_no_alarm_for_the_same_model_and_one_for_each_slower_one(
    tmp_path: Path, locust: Path
) -> None:
    limit = 3 * median(same := [p95(tmp_path / f"same-{n}", SUM, locust) for n in range(TIMES)])
    slower = [p95(tmp_path / f"slower-{n}", SLOWER, locust) for n in range(TIMES)]
    told = f"limit {limit:g} ms; the same model {sorted(same)}; the slower one {sorted(slower)}"

    assert sum(each > limit for each in same) == 0, told
    assert sum(each > limit for each in slower) == TIMES, told


def p95(folder: Path, source: str, locust: Path) -> float:
    """Of one serving run with a load, in milliseconds."""
    kept = folder / "kept"
    (kept / "outputs").mkdir(parents=True)
    (kept / "outputs" / "m.pkl").write_bytes(pickled(source))
    (kept / "outputs" / "example.json").write_text(EXAMPLE["outputs/example.json"])
    (folder / "root").mkdir()
    task = {"kind": "serving", "path": None, "model": "train", "load": LOAD, **ASKED}
    task["model_variable"] = "MLGATE_INPUT_TRAIN"
    variables = {"MLGATE_INPUT_TRAIN": str(kept)}
    run = Run(folder, task, variables, options=["--locust", str(locust)]).wait()
    assert run.outcome["status"] == "succeeded", run.log
    return float(run.outcome["metrics"]["p95_ms"])
