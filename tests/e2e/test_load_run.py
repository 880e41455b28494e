"""A model under load in a build, as a person runs it: the gate has the last word."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Done, commit, message, mlgate, run
from tests.e2e.test_run import EXAMPLES
from tests.support.models import SUM, pickled

SLOWER = SUM.replace("        return", "        import time; time.sleep(0.05)\n        return")
FAILS = SUM.replace("        return", "        assert rows[0][0] != 9\n        return")
CALLERS = """
from locust import HttpUser, task

class Caller(HttpUser):
    @task
    def ask(self):
        self.client.post("/predict", json=[[1, 2]])
        self.client.post("/predict", json=[[9, 2]])
"""

pytestmark = pytest.mark.slow


def installed(done: Done) -> Done:
    if "locust could not be installed" in done.out + done.err and "CI" not in os.environ:
        pytest.skip(done.err)
    return done


def test_the_example_passes(tmp_path: Path, repository: Path) -> None:
    shutil.copytree(EXAMPLES, repository / "examples")
    commit(repository)
    done = installed(
        mlgate(
            tmp_path, "run", EXAMPLES / "iris/load.json", "--repository", repository,
            "--output", "output",
        )
    )  # a row a line # fmt: skip

    assert done.code == 0, (done.out, done.err)
    metrics = done.run("serve")["metrics"]
    assert metrics["requests"] > 100
    assert metrics["failures"] == 0
    log = (done.output / "runs/serve/log.txt").read_text()
    assert "load: 5 callers for 5 s" in log


def bound(metric: str, at_most: float) -> dict[str, Any]:
    return {"run": "serve", "metric": metric, "at_most": at_most}


@pytest.mark.parametrize(
    ("source", "bounds", "code", "status", "said"),
    [
        (SUM, [bound("p95_ms", 400)], 0, "succeeded", ""),
        (SLOWER, [bound("p95_ms", 40)], 1, "succeeded", "p95_ms"),
        (FAILS, [bound("p95_ms", 4000)], 1, "failed", "requests failed"),
        (FAILS, [bound("failure_ratio", 0.6)], 0, "succeeded", ""),
        (FAILS, [bound("failures", 1)], 1, "succeeded", "failures"),
    ],
    ids=["fine", "slower", "failures fail", "failures may be", "failures are too many"],
)
def test_the_gate_decides(
    tmp_path: Path,
    repository: Path,
    source: str,
    bounds: list[dict[str, Any]],
    code: int,
    status: str,
    said: str,
) -> None:
    (repository / "m.pkl").write_bytes(pickled(source))
    (repository / "callers.py").write_text(CALLERS)
    (repository / "requests.json").write_text('[[{"a": 1, "b": 2}]]')
    commit(repository)
    runs: list[dict[str, Any]] = [
        {"kind": "training", "name": "train", "command": "cp m.pkl outputs"},
        {
            "kind": "serving",
            "name": "serve",
            "model": "train",
            "requests": "requests.json",
            "load": {"users": 2, "seconds": 2, "locustfile": "callers.py"},
        },
    ]
    done = installed(run(tmp_path, message(tmp_path, repository, *runs, gate={"metrics": bounds})))

    assert (done.code, done.run("serve")["status"]) == (code, status), (done.out, done.err)
    assert said in done.out
