"""Whole builds on a workspace that has a bad day."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from mlgate.emulators.azure_ml import Fault, FaultKind
from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.durable import Rejected
from mlgate.orchestration.engine.conductor import Conductor
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.runs import (
    Attempt,
    Environment,
    FailureKind,
    RunKind,
    RunSpec,
    RunStatus,
    Task,
)
from tests.contract.handlers.azureml_handler.support import Bench, new_handler, write
from tests.unit.orchestration.engine.twins import (
    COLLECTION,
    BackendTwin,
    RepositoryTwin,
    TreeTwin,
    World,
)


class Cloud(World):
    """A conductor whose only real outside is the workspace; its time is in the test's hand."""

    def __init__(self, bench: Bench, folder: Path, job_identity: str | None = None) -> None:
        super().__init__(folder)
        self.server = bench.server
        name = self.server.workspace_name
        handler = new_handler(name, self.clock, job_identity=job_identity)
        self.backend = cast("BackendTwin", handler)
        self.policy = HostPolicy(
            backend="azureml",
            workspace=self.server.workspace_name,
            allowed_collections=(COLLECTION,),
            allowed_repositories=(COLLECTION,),
        )
        conda = "dependencies: [python=3.12]\n"
        files = {"train.py": "print('trained')\n", "conda.yaml": conda}
        tree = write(folder / "commit", files)
        contents = {path: text.encode() for path, text in files.items()}
        self.repository = RepositoryTwin(TreeTwin(contents, folder=tree.folder))

    def deliver(self, delivery_count: int = 1, host: Conductor | None = None) -> Rejected | None:
        """The next message, once all jobs are over: its time passes while nothing else does."""
        for job in self.server.jobs:
            self.server.jobs.settle(job)
        return super().deliver(delivery_count, host)

    def done(self, key: str | None) -> Build:
        assert key is not None
        self.run_to_end()
        return self.build(key)


@pytest.fixture
def cloud(bench: Bench, tmp_path: Path) -> Cloud:
    return Cloud(bench, tmp_path)


@pytest.mark.parametrize(
    "storm",
    [Fault.answering(429, "3"), Fault.answering(429, "90"), Fault.answering(500)],
    ids=["throttled", "throttled for long", "failing"],
)
def test_all_runs_of_a_build_are_submitted_once_a_storm_is_over(storm: Fault, cloud: Cloud) -> None:
    names = [f"run-{number}" for number in range(4)]
    cloud.server.faults.add("jobs.put", storm, 20)
    began = cloud.clock.time
    build = cloud.done(cloud.start(*({"name": name} for name in names)))
    assert build.verdict is Verdict.SUCCEEDED
    assert sorted(job.spec["displayName"] for job in cloud.server.jobs) == sorted(names)
    answers = [r.status for r in cloud.server.requests if r.call == "jobs.put"]
    assert answers.count(storm.status) == 20
    assert answers.count(201) == len(names)
    if storm.retry_after is not None:
        waited = (cloud.clock.time - began).total_seconds()
        assert waited >= float(storm.retry_after)


@pytest.mark.parametrize("told", [True, False])
def test_the_experiment_has_the_pipelines_name_as_far_as_it_is_told(
    told: bool, cloud: Cloud
) -> None:
    cloud.pipeline.faults["name"] = [] if told else [Temporary("busy")]
    cloud.done(cloud.start({"name": "a"}))
    assert {job.experiment for job in cloud.server.jobs} == {"Nightly-models" if told else "r"}


def test_an_unknown_compute_fails_its_run_and_no_other(cloud: Cloud) -> None:
    runs = {"name": "a", "compute": "gpu"}, {"name": "b", "compute": "cpu-cluster"}
    build = cloud.done(cloud.start(*runs, gate={"condition": "any_pass"}))
    failure = build.run("a").failure
    assert failure is not None
    assert failure.kind is FailureKind.INVALID
    assert "Unknown compute target 'gpu'." in failure.message
    assert build.run("b").status is RunStatus.SUCCEEDED
    assert build.verdict is Verdict.SUCCEEDED


def test_what_a_job_names_and_is_not_there_fails_that_run_alone(cloud: Cloud) -> None:
    cloud.server.faults.add("jobs.put", Fault.answering(404))
    build = cloud.done(cloud.start({"name": "a"}, {"name": "b"}, gate={"condition": "any_pass"}))
    refused = [run.failure for run in build.runs if run.failure is not None]
    assert [(failure.kind, failure.message) for failure in refused] == [
        (FailureKind.INVALID, "Azure ML refuses (404): The request failed.")
    ]
    assert build.verdict is Verdict.SUCCEEDED


def test_an_environment_that_azure_ml_refuses_fails_its_runs_and_no_other(cloud: Cloud) -> None:
    cloud.server.faults.add("environments.put", Fault.answering(400))
    mine = {"environment": {"conda_file": "conda.yaml", "image": "mine"}}
    runs = {"name": "a", **mine}, {"name": "b", **mine}, {"name": "c"}
    build = cloud.done(cloud.start(*runs, gate={"condition": "any_pass"}))
    for name in ("a", "b"):
        failure = build.run(name).failure
        assert failure is not None
        assert failure.kind is FailureKind.ENVIRONMENT
        assert failure.message == (
            "Azure ML refuses (400): The request failed. The environment is made from conda.yaml "
            "and the image mine. Fix that, or name an environment of the workspace (`azureml`)."
        )
    assert build.run("c").status is RunStatus.SUCCEEDED
    assert [r.call for r in cloud.server.requests].count("environments.put") == 1


def test_runs_whose_environment_lacks_mlflows_plugin_are_warned(bench: Bench) -> None:
    plain, mlflow = (
        RunSpec(
            name,
            RunKind.TRAINING,
            command="true",
            environment=Environment(requirements=f"{name}.txt"),
        )
        for name in ("plain", "mlflow")
    )
    files = {f"{name}.txt": f"{name}==1 --hash=sha256:{'0' * 64}\n" for name in ("plain", "mlflow")}
    word = bench.stage(files, plain, mlflow)
    told = {}
    for spec in (plain, mlflow):
        task = Task(Attempt(bench.build, spec.name, 1), spec, word, "4711")
        told[spec.name] = bench.run(task).warnings
    assert told["plain"] == ()
    [warning] = told["mlflow"]
    assert warning.startswith("mlflow.txt names mlflow without azureml-mlflow")


@pytest.mark.parametrize("call", ["codes.get", "environments.put"])
def test_a_host_that_may_not_stage_is_a_fault_of_infrastructure(call: str, cloud: Cloud) -> None:
    cloud.server.faults.add(call, Fault.answering(403), 99)
    build = cloud.done(cloud.start({"name": "a", "environment": {"conda_file": "conda.yaml"}}))
    assert (build.verdict, build.infrastructure) == (Verdict.FAILED, True)
    assert "Give it the role AzureML Data Scientist" in build.reason


def test_a_build_passes_in_a_workspace_without_keys(keyless: Bench, tmp_path: Path) -> None:
    cloud = Cloud(keyless, tmp_path, job_identity="managed")
    keeps = {"name": "a", "command": "echo kept > outputs/a"}
    needs = {"name": "b", "command": "cat $MLGATE_INPUT_A/outputs/a", "needs": ["a"]}
    build = cloud.done(cloud.start(keeps, needs))
    assert build.verdict is Verdict.SUCCEEDED


def test_a_host_that_storage_refuses_is_a_fault_of_infrastructure(
    keyless: Bench, tmp_path: Path
) -> None:
    cloud = Cloud(keyless, tmp_path, job_identity="managed")
    cloud.server.faults.add("blob.put", Fault.answering(403), 99)
    build = cloud.done(cloud.start({"name": "a"}))
    assert (build.verdict, build.infrastructure) == (Verdict.FAILED, True)
    assert "the role Storage Blob Data Contributor on the account" in build.reason


def test_an_environment_that_cannot_be_registered_now_is_registered_later(cloud: Cloud) -> None:
    cloud.server.faults.add("environments.put", Fault.answering(503), 9)
    build = cloud.done(cloud.start({"name": "a", "environment": {"conda_file": "conda.yaml"}}))
    assert build.verdict is Verdict.SUCCEEDED


def test_a_host_that_may_not_submit_is_a_fault_of_infrastructure(cloud: Cloud) -> None:
    cloud.server.faults.add("jobs.put", Fault.answering(403), 99)
    build = cloud.done(cloud.start({"name": "a"}))
    assert (build.verdict, build.infrastructure) == (Verdict.FAILED, True)
    assert "Give it the role AzureML Data Scientist" in build.reason


def test_a_host_that_may_not_submit_for_a_while_submits_later(cloud: Cloud) -> None:
    cloud.server.faults.add("jobs.put", Fault.answering(403), 3)
    build = cloud.done(cloud.start({"name": "a"}))
    assert build.verdict is Verdict.SUCCEEDED
    assert build.run("a").attempt == 1


@pytest.mark.parametrize("kind", [FaultKind.PREEMPT, FaultKind.VANISH])
def test_a_run_whose_node_or_job_is_lost_is_tried_again(kind: FaultKind, cloud: Cloud) -> None:
    cloud.server.faults.add("execution", kind)
    script = "python -c 'import time; time.sleep(1)'"
    build = cloud.done(cloud.start({"name": "a", "command": script, "retries": 1}))
    assert build.verdict is Verdict.SUCCEEDED
    assert build.run("a").attempt == 2


def test_a_run_canceled_in_the_studio_fails_the_gate_with_that_reason(cloud: Cloud) -> None:
    key = cloud.start({"name": "a", "command": "sleep 600"})
    cloud.deliver()
    [job] = cloud.server.jobs
    cloud.server.jobs.wait(job.name, "Running")
    studio = new_handler(cloud.server.workspace_name, cloud.clock)
    studio.cancel([cloud.build(key or "").attempt_of(cloud.build(key or "").run("a"))])
    build = cloud.done(key)
    assert build.run("a").status is RunStatus.CANCELED
    assert build.verdict is Verdict.FAILED
    assert build.reason == "Canceled outside mlgate: a."
