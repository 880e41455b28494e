"""A checked model under load, by locust: what is measured, and everything that fails a load."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.launcher.harness import Run
from tests.contract.launcher.models import ASKED, ASKED_ONCE, EXAMPLE, UNASKED, Serve, recorded
from tests.support.models import SUM, pickled

LOAD = {"users": 3, "spawn_rate": 10, "seconds": 1, "locustfile": None, "may_fail": False}


@pytest.fixture
def load(serve: Serve, locust: Path) -> Any:
    """A serving run with a load on a model of this source."""

    def load(source: str = SUM, files: Any = None, more: Any = None, **asked: Any) -> Run:
        """`asked` is of the load, `more` of the run."""
        options = ["--locust", str(locust)]
        kept = {"outputs/m.pkl": pickled(source), **EXAMPLE}
        task = {**ASKED, **(more or {})}
        return serve(kept, files=files, options=options, load={**LOAD, **asked}, **task)

    return load


def test_callers_are_answered_by_the_process_that_a_server_has(load: Any) -> None:
    run = load()

    assert run.outcome["status"] == "succeeded", run.log
    metrics = run.outcome["metrics"]
    assert metrics.keys() == {*UNASKED, *ASKED_ONCE}
    assert (metrics["failures"], metrics["failure_ratio"]) == (0, 0)
    assert metrics["requests"] > 20
    assert metrics["requests"] / 11 < metrics["requests_per_second"] <= metrics["requests"]
    assert 0 <= metrics["p50_ms"] <= metrics["p95_ms"] <= metrics["p99_ms"] < 2000
    assert 5 < metrics["memory_mb"] < 1000
    assert "load: 3 callers for 1 s\n" in run.log
    assert f"{metrics['requests']:,.0f} requests, 0 failures, " in run.log
    assert recorded(run)["answer"] == [3.0, 7.5]


def test_users_that_do_not_begin_in_time_are_a_warning(load: Any) -> None:
    run = load(users=3, spawn_rate=1)

    assert run.outcome["status"] == "succeeded", run.log
    assert run.outcome["metrics"]["requests"] > 0
    assert run.outcome["warnings"] == [
        "at a spawn_rate of 1, 3 users take 3 s to begin: not all of them did in 1 s"
    ]


SLOW = SUM.replace("        return", "        import time; time.sleep(1.5)\n        return")


@pytest.mark.slow
def test_the_rate_counts_what_the_first_answer_took(load: Any) -> None:
    run = load(SLOW, users=1)

    assert run.outcome["metrics"]["requests"] == 1, run.log
    assert 0.1 < run.outcome["metrics"]["requests_per_second"] < 1 / 1.5


CALLER = """
import os, pathlib
from locust import HttpUser, task

class Caller(HttpUser):
    @task
    def ask(self):
        {act}
"""
UNDER_LOAD = """
class Model:
    feature_names_in_ = ["a", "b"]
    asked = 0
    def predict(self, rows):
        self.asked += 1
        if self.asked > 5: {act}
        return [1.0 for _ in rows]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        ("raise KeyError('mine')", "code", "requests failed ("),
        ("import os; os._exit(7)", "code", "it exited with code 7"),
        ("import os; os.kill(os.getpid(), 11)", "code", "while callers asked it"),
    ],
    ids=["raises", "ends", "dies"],
)
def test_a_model_that_fails_under_load_fails_the_run(
    load: Any, act: str, kind: str, said: str
) -> None:
    run = load(UNDER_LOAD.format(act=act))

    assert (run.exit_code, run.failure["kind"]) == (1, kind), run.log
    assert said in run.failure["message"]


@pytest.mark.slow
def test_failures_are_counted_and_left_to_the_gate_where_it_bounds_them(load: Any) -> None:
    act = "raise KeyError('mine')"
    run = load(UNDER_LOAD.format(act=act), may_fail=True)

    assert run.outcome["status"] == "succeeded", run.log
    metrics = run.outcome["metrics"]
    assert metrics["failures"] == metrics["requests"] - 4  # one was the example
    assert metrics["failure_ratio"] == pytest.approx(metrics["failures"] / metrics["requests"])
    assert "times POST /invocations: HTTP 500" in run.log
    assert "KeyError: 'mine'" in run.log  # the trace is in the log alone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        ("import time; time.sleep(0.05)", "code", "No request was made."),
        ("raise ValueError('mine')", "code", "No request was made. The locustfile raised: "),
        (
            "self.client.post('/predict', json=[[1, 2]]); raise ValueError('mine')",
            "code",
            "The locustfile raised: ",
        ),
        (
            "self.client.get('/ping'); self.environment.process_exit_code = 7",
            "code",
            "locust ended with code 7",
        ),
        (
            "self.client.post('/predict', json=[[1, 2]]); raise ValueError('x' * (17 << 20))",
            "code",
            "The locustfile raised: ",
        ),
        (
            "self.client.post('/predict', json=[[1, 2]]);"
            " self.environment.events.quitting._handlers.clear()",
            "code",
            "what locust wrote at its end cannot be read",
        ),
        ("self.client.get('/ping')", "code", "The model got no request."),
        ("self.client.get('/nowhere')", "code", "requests failed"),
        ("self.client.post('/predict', data=b'{')", "code", "400 Client Error"),
        ("import", "code", "SyntaxError"),
        ("os._exit(0)", "code", "before it measured anything"),
    ],
    ids=[
        "no request", "raises", "raises as well", "judges", "raises much", "tells nothing",
        "asks no model", "wrong path", "bad request", "no Python", "ends",
    ],
)  # fmt: skip
def test_what_a_locustfile_does_is_judged(load: Any, act: str, kind: str, said: str) -> None:
    files = {"callers.py": CALLER.format(act=act)}
    run = load(files=files, locustfile="callers.py", may_fail="client" not in act)

    assert (run.exit_code, run.failure["kind"]) == (1, kind), run.log
    assert said in run.failure["message"]
    left = {"load_seconds", "memory_mb"}
    measured = not (act == "import" or "exit(" in act or "quitting" in act)
    assert (run.outcome["metrics"].keys() > left) == measured


@pytest.mark.slow
def test_a_locustfile_has_the_runs_place_and_its_own_variables_alone(load: Any) -> None:
    act = (
        "pathlib.Path('seen.txt').write_text('\\n'.join(sorted(os.environ)));"
        " assert os.environ['MINE'] == '1' and os.path.isdir(os.environ['MLGATE_INPUT_TRAIN']);"
        " assert self.client.get('/model').json()['example'];"
        " assert self.client.post('/predict', json=[[1, 2]]).json() == [3.0]"
    )
    files = {"in/callers.py": CALLER.format(act=act)}
    tokens = {"AZUREML_TOKEN": "t", "MLFLOW_TRACKING_TOKEN": "t", "MSI_SECRET": "t"}
    variables = {"MINE": "1", "PYTHONPATH": "/nowhere", **tokens}
    more = {"variables": ["MINE"], "directory": "in", "environment": variables}
    run = load(files=files, locustfile="in/callers.py", more=more)

    assert run.outcome["status"] == "succeeded", (run.failure, run.log)
    seen = (run.root / "in" / "seen.txt").read_text().split()
    assert not {*seen} & {*tokens, "PYTHONPATH"}


@pytest.mark.slow
def test_a_model_without_an_example_is_asked_by_a_locustfile(serve: Serve, locust: Path) -> None:
    act = "self.client.post('/predict', json=[[1, 2]])"
    run = serve(
        {"outputs/m.pkl": pickled()},
        files={"callers.py": CALLER.format(act=act)},
        options=["--locust", str(locust)],
        load={**LOAD, "locustfile": "callers.py"},
    )

    assert run.outcome["status"] == "succeeded", run.log
    assert run.outcome["metrics"]["requests"] > 5


@pytest.mark.slow
def test_a_run_that_is_canceled_leaves_no_process(
    serve: Serve, locust: Path, tmp_path: Path
) -> None:
    source = f"import os\nopen({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}} ')\n{SUM}"
    run = serve(
        {"outputs/m.pkl": pickled(source), **EXAMPLE},
        options=["--locust", str(locust)],
        load={**LOAD, "seconds": 600},
        wait=False,
        **ASKED,
    )
    run.wait_for(lambda run: "5 of 600 s, " in run.log)
    run.process.send_signal(signal.SIGTERM)

    assert run.exit_code == 1
    assert run.outcome["status"] == "canceled"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_a_launcher_that_is_killed_while_the_model_loads_leaves_no_copy(
    serve: Serve, locust: Path, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    seen = tmp_path / "seen"
    loads = f"import sys, time\nopen({str(seen)!r}, 'a').write('x')\n"
    waits = f"if len(open({str(seen)!r}).read()) > 2: time.sleep(60)\n"  # after two trials
    run = serve(
        {"outputs/m.pkl": pickled(loads + waits + SUM), **EXAMPLE},
        options=["--locust", str(locust)],
        environment={"TMPDIR": str(tmp_path / "tmp")},
        load=LOAD,
        wait=False,
        **ASKED,
    )
    run.wait_for(lambda _: seen.exists() and len(seen.read_text()) > 2)
    [copy] = (tmp_path / "tmp").glob("mlgate-model-*")
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + 10
    while copy.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not copy.exists()


@pytest.mark.slow
def test_a_hang_counts_as_a_failure(load: Any) -> None:
    run = load(UNDER_LOAD.format(act="import time; time.sleep(600)"))

    assert run.failure["kind"] == "code"
    assert "no answer within" in run.failure["message"]
    assert run.outcome["metrics"]["failures"] == 3


@pytest.mark.slow
def test_a_hang_fails_whatever_a_locustfile_and_the_gate_make_of_it(load: Any) -> None:
    files = {"callers.py": CALLER.format(act="self.client.post('/predict', json=[[1, 2]])")}
    source = UNDER_LOAD.format(act="import time; time.sleep(600)")
    run = load(source, files=files, locustfile="callers.py", may_fail=True)

    assert run.failure["kind"] == "code"
    assert "The model has answered nothing for 1" in run.failure["message"]
    assert run.outcome["metrics"]["failures"] == 0
