"""A kept model is checked alike on both backends, from what its run kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

import pytest

from mlgate.orchestration.models import manifest_of
from mlgate.orchestration.runs import FailureKind, Load, Outcome, RunKind, RunStatus, Task
from tests.contract.backends.conftest import Backend
from tests.support.models import SUM, pickled

METRICS = {
    "load_seconds",
    "memory_mb",
    "requests",
    "failures",
    "failure_ratio",
    "requests_per_second",
    "p50_ms",
    "p95_ms",
    "p99_ms",
}

KEEPS = """\
import pathlib, shutil
for path in pathlib.Path('kept').iterdir():
    shutil.copy(path, 'outputs')
"""


def trained(backend: Backend, files: Mapping[str, bytes]) -> Task:
    """A training that has kept these files in its outputs."""
    task = backend.task(KEEPS, files={f"kept/{name}": content for name, content in files.items()})
    assert backend.run(task).status is RunStatus.SUCCEEDED
    return task


def check(backend: Backend, training: Task, **fields: object) -> Task:
    given: dict[str, object] = {"kind": RunKind.SERVING, "command": None}
    inputs = {training.spec.name: training.attempt}
    given |= {"model": training.spec.name, "name": "check-churn", **fields}
    return backend.task("", inputs=inputs, **given)  # type: ignore[arg-type] # fields of a run


def test_a_check_keeps_a_manifest_and_its_metrics(backend: Backend) -> None:
    model = pickled()
    training = trained(backend, {"m.pkl": model, "example.json": b'[{"b": 2, "a": 1}]'})
    task = check(backend, training, example="outputs/example.json")

    outcome = backend.run(task)

    assert outcome.status is RunStatus.SUCCEEDED, backend.log(task)
    assert outcome.warnings == ()
    assert outcome.metrics.keys() == METRICS
    kept = ("outputs/metrics.json", "outputs/model.json")
    assert outcome.outputs == tuple(f"runs/check-churn/{name}" for name in kept)
    record = json.loads(backend.left(task, "outputs/model.json"))
    manifest = manifest_of(json.dumps(record).encode())
    assert manifest is not None
    assert [(file.path, file.sha256) for file in manifest.files] == [
        ("m.pkl", hashlib.sha256(model).hexdigest())
    ]
    assert (manifest.format, manifest.answer) == ("pickle", [3.0])
    assert manifest.distributions == {}
    assert "model: outputs/m.pkl of train (pickle" in backend.log(task)


def test_a_file_of_the_repository_is_asked(backend: Backend) -> None:
    bodies = b'[[{"b": 2, "a": 1}], {"instances": [[1, 2], [3, 4]]}]'
    training = trained(backend, {"m.pkl": pickled()})
    asked = {"requests": "ask/requests.json", "must_answer": True}
    task = check(backend, training, files={"ask/requests.json": bodies}, **asked)

    outcome = backend.run(task)

    assert outcome.status is RunStatus.SUCCEEDED, backend.log(task)
    assert outcome.metrics.keys() == METRICS
    assert (outcome.metrics["requests"], outcome.metrics["failures"]) == (2, 0)
    record = json.loads(backend.left(task, "outputs/model.json"))
    assert (record["example"], record["answer"]) == ([{"b": 2, "a": 1}], [3.0])


@pytest.mark.slow
def test_callers_ask_it_at_once(backend: Backend) -> None:
    """locust's environment is made by the host here, and by the job on Azure ML."""
    training = trained(backend, {"m.pkl": pickled(), "example.json": b'[{"b": 2, "a": 1}]'})
    asked = {"example": "outputs/example.json", "load": Load(users=2, seconds=1)}
    task = check(backend, training, **asked)

    outcome = backend.run(task)

    if outcome.failure and "locust could not be installed" in outcome.failure.message:
        assert "CI" not in os.environ
        pytest.skip(outcome.failure.message)
    assert outcome.status is RunStatus.SUCCEEDED, backend.log(task)
    assert outcome.metrics.keys() == METRICS
    assert outcome.metrics["requests"] > 10
    assert outcome.metrics["failures"] == 0
    assert "load: 2 callers for 1 s" in backend.log(task)
    assert not backend.processes()


CHANGES = """
import locust
from locust import HttpUser, task

open(locust.__file__, "a").write("raise SystemExit('changed')\\n")

class Caller(HttpUser):
    @task
    def ask(self):
        self.client.post("/predict", json=[{"b": 2, "a": 1}])
"""


@pytest.mark.slow
def test_what_a_locustfile_changes_of_locust_is_gone_with_its_run(backend: Backend) -> None:
    training = trained(backend, {"m.pkl": pickled()})
    for name in ("one", "two"):
        load = Load(users=2, seconds=1, locustfile="c.py")
        task = check(backend, training, files={"c.py": CHANGES}, name=name, load=load)
        outcome = backend.run(task)
        assert outcome.status is RunStatus.SUCCEEDED, backend.log(task)


@pytest.mark.slow
def test_a_load_that_hangs_exceeds_the_limit_of_its_run(backend: Backend) -> None:
    """Also while its environment is made: nothing of it stays."""
    training = trained(backend, {"m.pkl": pickled(), "example.json": b'[{"b": 2, "a": 1}]'})
    asked = {"example": "outputs/example.json", "load": Load(users=2, seconds=600)}
    kind, message = failed(backend, check(backend, training, timeout_minutes=0.15, **asked))

    assert (kind, message) == (FailureKind.TIMEOUT, "The run exceeded its limit of 0.15 minutes.")
    assert not backend.processes()


def test_a_request_that_fails_is_named(backend: Backend) -> None:
    training = trained(backend, {"m.pkl": pickled()})
    asked = {"requests": "r.json", "must_answer": True}
    files = {"r.json": b'[[{"b": 2, "a": 1}], [{"b": 2}]]'}
    kind, message = failed(backend, check(backend, training, files=files, **asked))

    assert kind is FailureKind.INVALID
    assert message.startswith("request 2 of r.json was refused: missing column `a`.")


def failed(backend: Backend, task: Task) -> tuple[FailureKind, str]:
    outcome: Outcome = backend.run(task)
    assert outcome.status is RunStatus.FAILED
    assert outcome.failure is not None
    return outcome.failure.kind, outcome.failure.message


def test_a_run_that_kept_nothing_has_no_model(backend: Backend) -> None:
    kind, message = failed(backend, check(backend, trained(backend, {"a.csv": b""})))

    assert kind is FailureKind.INVALID
    assert message.startswith("no model is recognised in the kept outputs: outputs/a.csv.")


def test_a_model_that_hangs_exceeds_the_limit_of_its_check(backend: Backend) -> None:
    training = trained(backend, {"m.pkl": pickled(f"import time\ntime.sleep(600)\n{SUM}")})
    kind, message = failed(backend, check(backend, training, timeout_minutes=0.1))

    assert (kind, message) == (FailureKind.TIMEOUT, "The run exceeded its limit of 0.1 minutes.")
    assert not backend.processes()
