"""A run as a command job, without anybody being asked."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from handlers.azureml_handler import environments
from handlers.azureml_handler.jobs import Job, fingerprint, job_of
from handlers.azureml_handler.snapshots import UNUSABLE, Snapshot
from mlgate.orchestration.backends.launching import launch_task
from mlgate.orchestration.errors import Permanent, UnusableEnvironment
from mlgate.orchestration.runs import Attempt, Environment, Resources, RunKind, RunSpec, Task

BUILD = "b" * 32
SNAPSHOT = Snapshot("/codes/c/versions/1", "d" * 40, "https://example.org/a/My%20repo.git", "main")
SPEC = RunSpec("train", RunKind.TRAINING, command="python train.py")
COMMAND = """\
set -e
task="$(printf %s "$MLGATE_TASK" | base64 -d)"
unset MLGATE_TASK
export MLGATE_INPUT_BASE_MODEL="${{inputs.need_0}}/kept"
[ -d "$MLGATE_INPUT_BASE_MODEL" ] || export MLGATE_INPUT_BASE_MODEL="$(mktemp -d)"
export MLGATE_INPUT_OTHER_1="${{inputs.need_1}}/kept"
[ -d "$MLGATE_INPUT_OTHER_1" ] || export MLGATE_INPUT_OTHER_1="$(mktemp -d)"
exec python launcher.pyz --task "$task" --root tree --output "${{outputs.run}}" \
--overlay "$(mktemp -d)" --executable executable.json"""


def task(snapshot: Snapshot = SNAPSHOT, **fields: Any) -> Task:
    spec = replace(SPEC, **fields)
    inputs = {need: Attempt(BUILD, need, 2) for need in spec.needs}
    return Task(Attempt(BUILD, "train", 1), spec, snapshot.word(), "4711", inputs)


def job(snapshot: Snapshot = SNAPSHOT, **fields: Any) -> Job:
    asked = task(snapshot, **fields)
    return job_of(asked, default_compute="cpu", default_environment="azureml://default")


def test_the_command_runs_the_launcher_with_what_the_needs_kept() -> None:
    made = job(needs=("base-model", "other_1"))
    assert made.command == COMMAND
    paths = "azureml://datastores/workspaceblobstore/paths/mlgate"
    assert made.inputs == {
        "need_0": f"{paths}/{Attempt(BUILD, 'base-model', 2).id}/",
        "need_1": f"{paths}/{Attempt(BUILD, 'other_1', 2).id}/",
    }
    assert made.output == f"{paths}/{Attempt(BUILD, 'train', 1).id}/"


def test_nothing_of_a_run_is_in_its_command() -> None:
    bare = "\n".join([*COMMAND.splitlines()[:3], *COMMAND.splitlines()[7:]])
    assert job(command="rm -rf ${{inputs.x}} $(x)", directory="a b", outputs=("*",)).command == bare


@pytest.mark.parametrize("kind", RunKind)
def test_every_kind_of_run_finds_the_current_model(kind: RunKind) -> None:
    asked = replace(task(kind=kind, needs=("base",)), current_model="azureml://a/folder/")
    made = job_of(asked, default_compute="cpu", default_environment="azureml://default")
    assert made.inputs["current_model"] == "azureml://a/folder/"
    assert '\nexport MLGATE_CURRENT_MODEL="${{inputs.current_model}}"\nexec ' in made.command
    assert fingerprint(asked) != fingerprint(replace(asked, current_model=None))


def test_the_launchers_task_travels_in_a_variable() -> None:
    made = job(parameters={"a": 'é"$'}, environment_variables={"A": "1", "mlgate_task": "x"})
    told = base64.b64decode(made.variables["MLGATE_TASK"])
    variables = {"A": "1", "mlgate_task": "x"}
    asked = replace(SPEC, parameters={"a": 'é"$'}, environment_variables=variables)
    assert json.loads(told) == launch_task(asked)
    assert dict(made.variables) == {
        "A": "1",
        "MLGATE_BUILD_ID": "4711",
        "MLGATE_RUN_NAME": "train",
        "MLGATE_TASK": made.variables["MLGATE_TASK"],
    }


def test_parameters_have_room_up_to_96_kib_in_base64() -> None:
    fixed = len(json.dumps(launch_task(SPEC))) + len('"a": ""')
    room = 96 * 1024 // 4 * 3 - fixed
    assert len(job(parameters={"a": "x" * room}).variables["MLGATE_TASK"]) == 96 * 1024
    with pytest.raises(Permanent, match=r"parameters of train are too large.* in a file"):
        job(parameters={"a": "x" * (room + 1)})


def test_a_job_is_found_by_its_builds_tag_and_tells_where_its_code_is_from() -> None:
    made = job(tags={"team": "a", "mlgate_attempt": "9"})
    assert made.name == Attempt(BUILD, "train", 1).id
    assert made.tags == {
        "team": "a", f"mlgate-{BUILD}": "train", "mlgate_build_id": "4711", "mlgate_attempt": "1",
    }  # a row a line # fmt: skip
    assert made.experiment == "My-20repo"
    assert made.properties["azureml.git.commit"] == "d" * 40
    assert made.properties["azureml.git.branch"] == "main"
    assert made.properties["azureml.git.repository_uri"] == SNAPSHOT.repository


def test_no_property_is_longer_than_azure_ml_takes() -> None:
    snapshot = replace(SNAPSHOT, repository=f"https://example.org/{'r' * 2000}", ref="b" * 2000)
    made = job(snapshot)
    assert len(made.properties) + len(("fingerprint",)) <= 50
    assert max(map(len, made.properties.values())) == 1000
    assert made.properties["azureml.git.branch"] == "b" * 999 + "…"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://dev.azure.com/contoso/sales/_git/sales", "sales"),
        ("ssh://git@example.org/a/b.git/", "b"),
        ("/srv/repositories/My Repo", "My-Repo"),
        ("https://example.org/ümläut", "ml-ut"),
        ("/", "mlgate"),
        (f"/{'x' * 300}", "x" * 100),
    ],
)
def test_the_experiment_is_named_after_the_repository(url: str, name: str) -> None:
    assert replace(SNAPSHOT, repository=url).experiment == name


@pytest.mark.parametrize(
    ("pipeline", "name"),
    [("Nightly models (v2)", "Nightly-models-v2"), (None, "My-20repo"), ("Обучение", "My-20repo")],
)
def test_the_experiment_is_named_after_the_pipeline_if_there_is_one(
    pipeline: str | None, name: str
) -> None:
    asked = replace(task(), pipeline=pipeline)
    made = job_of(asked, default_compute="cpu", default_environment="azureml://default")
    assert made.experiment == name


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(60, 3600), (0.5, 30), (0.001, 1), (1 / 3, 20), (0.34, 21)]
)
def test_the_limit_is_in_whole_seconds_and_never_none(minutes: float, seconds: int) -> None:
    assert job(timeout_minutes=minutes).timeout_seconds == seconds


@pytest.mark.parametrize(("asked", "given"), [(None, "cpu"), ("gpu", "gpu"), ("serverless", None)])
def test_compute_is_the_runs_or_the_hosts(asked: str | None, given: str | None) -> None:
    assert job(compute=asked).compute == given


def test_resources_are_passed_on() -> None:
    asked = Resources("Standard_DS3_v2", 2, "4g")
    assert job(resources=asked).resources == asked


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (None, "azureml://default"),
        (Environment(azureml="mine:3"), "azureml:mine:3"),
        (Environment(azureml="azureml:mine:3"), "azureml:mine:3"),
        (Environment(azureml="azureml://registries/r/environments/e/versions/1"),) * 2,
        (Environment(azureml="mine@latest", requirements="r.txt"), "mine@latest"),
        (Environment(azureml="azureml:mine@prod"), "mine@prod"),
        (Environment(azureml="azureml://registries/r/environments/e/labels/latest"),) * 2,
    ],
    ids=str,
)
def test_an_environment_that_is_there_is_named(
    asked: Environment | None, named: str | Environment
) -> None:
    expected = named.azureml if isinstance(named, Environment) else named
    assert job(environment=asked).environment == expected


def test_an_environment_of_the_commits_files_is_the_one_that_was_staged() -> None:
    asked = Environment(requirements="r.txt")
    key = environments.key(replace(SPEC, environment=asked)) or ""
    there = replace(SNAPSHOT, environments={key: "azureml:mlgate:1"})
    assert job(there, environment=asked).environment == "azureml:mlgate:1"
    unusable = replace(SNAPSHOT, environments={key: f"{UNUSABLE}r.txt is not UTF-8 text."})
    with pytest.raises(UnusableEnvironment, match=r"^r\.txt is not UTF-8 text\.$"):
        job(unusable, environment=asked)


def test_what_is_asked_for_tells_jobs_of_one_name_apart() -> None:
    fields: dict[str, Any] = {"parameters": {"a": 1, "b": 2}, "environment_variables": {"A": "1"}}
    same = fingerprint(task(**fields))
    assert fingerprint(task(**{**fields, "parameters": {"b": 2, "a": 1}})) == same
    others = [
        task(**fields, command="python other.py"),
        task(**fields, compute="gpu"),
        task(**fields, timeout_minutes=1),
        task(**fields, needs=("base",)),
        task(**{**fields, "environment_variables": {"A": "2"}}),
        task(replace(SNAPSHOT, code="/codes/d/versions/1"), **fields),
        task(replace(SNAPSHOT, commit="e" * 40), **fields),
        replace(task(**fields), attempt=Attempt(BUILD, "train", 2)),
    ]
    assert len({same, *map(fingerprint, others)}) == len(others) + 1


def test_what_a_host_adds_of_its_own_tells_no_jobs_apart() -> None:
    asked = task(needs=("base",))
    jobs = [
        job_of(asked, default_compute=compute, default_environment=environment)
        for compute, environment in (("cpu", "azureml://one"), ("gpu", "azureml://two"))
    ]
    assert jobs[0].environment != jobs[1].environment
    assert jobs[0].fingerprint == jobs[1].fingerprint == fingerprint(asked)


def test_a_task_that_was_remembered_is_the_same() -> None:
    """Of whole numbers in the place of fractions, a state gives fractions back."""
    asked = task(timeout_minutes=60, parameters={"a": 1}, resources=Resources(instance_count=2))
    state = TypeAdapter(Task)
    remembered = state.validate_json(state.dump_json(asked))
    assert str(remembered.spec) != str(asked.spec)
    assert fingerprint(remembered) == fingerprint(asked)


def test_a_fingerprint_is_the_same_in_every_process_and_version() -> None:
    """Another one would have a job of an older version refused that a build still waits for."""
    made = fingerprint(replace(task(retries=1), snapshot="word"))
    assert made.startswith("3f047f9c7465830f")
