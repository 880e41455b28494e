"""Metrics of a run that MLflow keeps elsewhere than in a SQLite file, as in an Azure ML job."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow.tracking import MlflowClient

from mlgate.launcher.tracking import metrics_of_server
from mlgate.launcher.values import Place, Stopped
from tests.contract.launcher.harness import Start, notebook

LOG = """
import math, mlflow, time
with mlflow.start_run():
    mlflow.log_metric("loss", 0.7, step=0)
    mlflow.log_metric("loss", 0.5, step=1)
    mlflow.log_metric("score", 0.1)
    mlflow.log_metric("infinite", math.inf)
    mlflow.log_metric("broken", math.nan)
    time.sleep(0.01)
    with mlflow.start_run(nested=True):
        mlflow.log_metric("score", 0.9)
"""


AGAIN = """
import mlflow
for number in (1, 2, 3):
    with mlflow.start_run():
        mlflow.log_metric(f"of_{number}", number)
        with mlflow.start_run(nested=True), mlflow.start_run(nested=True):
            mlflow.log_metric(f"below_{number}", number)
"""


class Lagging(BaseHTTPRequestHandler):
    """A tracking server whose searches lack metrics of one of two nested runs, as Azure ML's."""

    def do_GET(self) -> None:
        [asked] = parse_qs(urlsplit(self.path).query)["run_id"]
        self._say({"run": self._run(asked, 1)})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say({"runs": [self._run("a", 1), self._run("b", 0)]})

    def _run(self, name: str, metrics: int) -> dict[str, Any]:
        metric = {"key": f"of_{name}", "value": 1.0, "timestamp": 1, "step": 0}
        info = {"run_id": name, "run_uuid": name, "experiment_id": "0", "status": "FINISHED"}
        return {"info": info, "data": {"metrics": [metric] * metrics}}

    def _say(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Forbidding(BaseHTTPRequestHandler):
    """A tracking server that lets nobody in, and repeats what it was sent."""

    def do_GET(self) -> None:
        text = f"no entry for {self.headers['Authorization']}"
        body = json.dumps({"error_code": "PERMISSION_DENIED", "message": text}).encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def given_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The variables of a job for which the platform has opened a run in a store of files."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "runs").as_uri()
    client = MlflowClient(uri)
    experiment = client.create_experiment("job")
    return {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_EXPERIMENT_ID": experiment,
        "MLFLOW_RUN_ID": client.create_run(experiment).info.run_id,
    }


@contextmanager
def served(by: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), by) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def forbidding() -> Iterator[int]:
    with served(Forbidding) as port:
        yield port


def test_the_latest_value_of_each_key_counts_also_of_nested_runs(
    start: Start, given_run: Mapping[str, str]
) -> None:
    """Whatever modules the user has of the same name as those that asking needs."""
    shadow = "raise SystemExit('shadowed')"
    files = {"scripts/train.py": LOG, "mlflow.py": shadow, "json.py": shadow}

    run = start(files, given_run, kind="training", command="python scripts/train.py").wait()

    assert run.outcome["metrics"] == {"loss": 0.5, "score": 0.9}
    assert run.outcome["warnings"] == [
        "the metric `broken` is left out: it is nan, not a finite number",
        "the metric `infinite` is left out: it is inf, not a finite number",
    ]


def test_runs_that_are_started_after_the_first_count(
    start: Start, given_run: Mapping[str, str]
) -> None:
    """MLflow takes the job's own run for the first one alone."""
    run = start({"train.py": AGAIN}, given_run, kind="training", command="python train.py").wait()

    kinds = ("of", "below")
    assert run.outcome["metrics"] == {f"{kind}_{n}": n for kind in kinds for n in (1, 2, 3)}
    assert run.outcome["warnings"] == []


def test_a_run_that_a_search_has_without_its_metrics_is_asked_for(start: Start) -> None:
    with served(Lagging) as port:
        variables = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_RUN_ID": "own"}
        run = start({}, variables, kind="training", command="true").wait()

    assert run.outcome["metrics"] == {"of_own": 1.0, "of_a": 1.0, "of_b": 1.0}
    assert run.outcome["warnings"] == []


@pytest.mark.parametrize("kind", ["notebook", "training"])
def test_another_experiment_than_the_jobs_fails_with_what_to_do(
    start: Start, given_run: Mapping[str, str], kind: str
) -> None:
    source = "import mlflow\nmlflow.set_experiment('mine')\nmlflow.start_run()"
    files = {"notebook.ipynb": notebook(source), "train.py": source}
    run = start(files, given_run, kind=kind, command="python train.py").wait()

    assert run.failure["kind"] == "code"
    assert "Remove mlflow.set_experiment, or call it only where" in run.failure["message"]
    assert "Cannot start run with ID" in run.failure["message"]


def test_a_context_of_ones_own_stays(start: Start, given_run: Mapping[str, str]) -> None:
    shown = "import os\nassert os.environ['MLFLOW_RUN_CONTEXT'] == '{}'"
    variables = {**given_run, "MLFLOW_RUN_CONTEXT": "{}"}
    run = start({"a.py": shown}, variables, kind="training", command="python a.py").wait()

    assert run.outcome["status"] == "succeeded"


def test_a_store_that_refuses_is_a_warning_without_the_credentials(
    start: Start, forbidding: int
) -> None:
    uri = f"http://somebody:pa55word@127.0.0.1:{forbidding}"
    variables = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": "0" * 32}
    run = start({}, variables, kind="training", command="true").wait()

    assert (run.outcome["status"], run.outcome["metrics"]) == ("succeeded", {})
    assert run.outcome["warnings"] == [
        "metrics of MLflow's tracking server may be missing: RestException PERMISSION_DENIED"
    ]
    for text in (run.printed, run.log, json.dumps(run.outcome)):
        assert "pa55word" not in text
        assert "c29tZWJvZHk6cGE1NXdvcmQ=" not in text  # the same, as the header has it


def test_a_store_that_mlflow_does_not_know_has_no_metrics(start: Start) -> None:
    """Nor could the run log any to it, so that there is nothing to warn of."""
    variables = {"MLFLOW_TRACKING_URI": "no-such-scheme://store", "MLFLOW_RUN_ID": "0" * 32}
    run = start({}, variables, kind="training", command="true").wait()

    assert (run.outcome["metrics"], run.outcome["warnings"]) == ({}, [])


def ask(place: Place, *, seconds: float, told_to_end: bool) -> Any:
    async def asking() -> Any:
        stopped: Stopped = asyncio.get_running_loop().create_future()
        if told_to_end:
            stopped.set_result(None)
        return await metrics_of_server(place, stopped, seconds)

    return asyncio.run(asking())


@pytest.mark.parametrize(
    ("seconds", "told_to_end", "why"),
    [(1.5, False, "no answer in 1.5 seconds"), (300, True, "the run had to end")],
)
def test_nobody_waits_for_a_server_that_never_answers(
    tmp_path: Path, seconds: float, told_to_end: bool, why: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": "0" * 32}
        place = Place(tmp_path, tmp_path, tmp_path, None, variables, None)

        metrics, warnings = ask(place, seconds=seconds, told_to_end=told_to_end)

    assert metrics == {}
    assert warnings == [f"metrics of MLflow's tracking server may be missing: {why}"]


def test_an_environment_without_mlflow_has_logged_nothing(tmp_path: Path) -> None:
    shadow = tmp_path / "path" / "mlflow"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('no such package')")
    variables = {**os.environ, "PYTHONPATH": str(shadow.parent), "MLFLOW_RUN_ID": "0" * 32}
    variables["MLFLOW_TRACKING_URI"] = "azureml://store"
    place = Place(tmp_path, tmp_path, tmp_path, None, variables, None)

    assert ask(place, seconds=180, told_to_end=False) == ({}, [])
