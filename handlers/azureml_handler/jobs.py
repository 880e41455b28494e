"""A run as a command job. Pure: `submission` converts it to the SDK's objects."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from handlers.azureml_handler import environments
from handlers.azureml_handler.snapshots import (
    EXECUTABLE,
    LAUNCHER,
    TREE,
    UNUSABLE,
    Snapshot,
    experiment_named,
)
from handlers.azureml_handler.workspace import OUTPUT, build_tag, output_uri
from mlgate.orchestration.backends.launching import (
    CURRENT_MODEL,
    KEPT,
    bounded,
    input_variable,
    launch_task,
    own_variables,
    promised_variables,
)
from mlgate.orchestration.errors import Permanent, UnusableEnvironment
from mlgate.orchestration.runs import Resources, Task

FINGERPRINT = "mlgate.fingerprint"
LIMIT = "mlgate.timeout_seconds"
_MODEL = "current_model"  # the job's input with the current version's files
_SERVERLESS = "serverless"
_PROPERTY_LIMIT = 1000  # characters (MicrosoftDocs/azure-ai-docs, resource-limits-capacity.md)
_EMPTY: tuple[Any, ...] = (None, "", {}, [], ())
_TASK = "MLGATE_TASK"
_TASK_LIMIT = 96 * 1024  # bytes; Linux allows 128 KiB for one variable (execve(2))


@dataclass(frozen=True, slots=True)
class Job:
    """`inputs` and `output` are URIs of folders; `compute` None is serverless.

    An existing job of that name is compared by its `fingerprint`. `identity` is `user`, `managed`
    or `managed:CLIENT_ID`; None is the compute's own.
    """

    name: str
    fingerprint: str
    display_name: str
    experiment: str
    command: str
    code: str
    environment: str
    compute: str | None
    timeout_seconds: int
    output: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    resources: Resources | None = None
    identity: str | None = None


def fingerprint(task: Task) -> str:
    """A hash of what was asked for, without anything that a host or a version of mlgate adds.

    The host that finds the job may be another one, with other defaults or a newer version.
    """
    asked = _asked(task)
    del asked["of"]  # how many runs the build has, on which no job depends
    text = json.dumps(asked, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _asked(value: Any) -> Any:
    """A JSON value. Empty fields are left out, so that fields can be added later."""
    if is_dataclass(value):
        found = {each.name: _asked(getattr(value, each.name)) for each in fields(value)}
        asked = {name: each for name, each in found.items() if each not in _EMPTY}
        return {name: _number(each) for name, each in asked.items() if each is not False}
    if isinstance(value, Mapping):
        return {name: _asked(each) for name, each in value.items()}
    return value


def _number(value: Any) -> Any:
    """The same for 60 and 60.0, between which a stored build makes no difference."""
    return float(value) if isinstance(value, int) else value


def job_of(
    task: Task, *, default_compute: str, default_environment: str, identity: str | None = None
) -> Job:
    """The attempt's job; raises Permanent for a run that cannot be one."""
    spec, snapshot = task.spec, Snapshot.read(task.snapshot)
    own, _ = own_variables(spec.environment_variables)
    needs = {f"need_{number}": name for number, name in enumerate(spec.needs)}
    inputs = {name: output_uri(task.inputs[need]) for name, need in needs.items()}
    if task.current_model is not None:
        inputs[_MODEL] = task.current_model
    compute = _compute(spec.compute or default_compute)
    repository = {
        "repository_uri": snapshot.repository,
        "commit": snapshot.commit,
        "branch": snapshot.ref or "",
    }
    return Job(
        name=task.attempt.id,
        fingerprint=fingerprint(task),
        display_name=spec.name,
        experiment=experiment_named(task.pipeline or "") or snapshot.experiment,
        command=_command(needs, model=_MODEL in inputs),
        code=snapshot.code,
        environment=_environment(task, snapshot, default_environment),
        compute=compute,
        timeout_seconds=math.ceil(spec.timeout_minutes * 60),
        output=output_uri(task.attempt),
        inputs=inputs,
        variables={
            **own,
            **promised_variables(task),
            _TASK: _encoded(task),
        },
        tags={
            **spec.tags,
            build_tag(task.attempt.build): spec.name,
            "mlgate_build_id": task.build_id,
            "mlgate_attempt": str(task.attempt.number),
        },
        # The names under which the studio shows where code came from. Otherwise the SDK would name
        # the repository that this process happens to run in (azure-ai-ml, `_utils/utils.py`).
        properties={
            f"azureml.git.{name}": bounded(value, _PROPERTY_LIMIT)
            for name, value in repository.items()
        }
        | {
            "mlflow.source.git.repoURL": bounded(snapshot.repository, _PROPERTY_LIMIT),
            "mlflow.source.git.commit": snapshot.commit,
            "mlflow.source.git.branch": bounded(snapshot.ref or "", _PROPERTY_LIMIT),
            "azureml.git.dirty": "False",
            LIMIT: str(math.ceil(spec.timeout_minutes * 60)),
        },
        resources=spec.resources,
        identity=identity,
    )


def _compute(asked: str) -> str | None:
    """The compute's name, None for serverless; raises Permanent for an invalid name.

    The SDK would also accept the address of a compute in another workspace, and for `local` it
    would execute the job on this host (azure-ai-ml, `_local_job_invoker.py`).
    """
    if asked == _SERVERLESS:
        return None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", asked) or asked.lower() == "local":
        raise Permanent(
            f"{asked!r} is not a compute of the workspace. Name one of its compute targets, or "
            f"{_SERVERLESS}."
        )
    return asked


def _environment(task: Task, snapshot: Snapshot, default: str) -> str:
    key = environments.key(task.spec)
    if key is None:
        return environments.named(task.spec.environment, default)
    made = snapshot.environments[key]
    if made.startswith(UNUSABLE):
        raise UnusableEnvironment(made.removeprefix(UNUSABLE))
    return made


def _command(needs: Mapping[str, str], *, model: bool) -> str:
    """A script for the job's shell. Storage has no empty folders, so the script makes them."""
    lines = ["set -e", f'task="$(printf %s "${_TASK}" | base64 -d)"', f"unset {_TASK}"]
    for name, need in needs.items():
        variable = input_variable(need)
        lines += [
            f'export {variable}="${{{{inputs.{name}}}}}/{KEPT}"',
            f'[ -d "${variable}" ] || export {variable}="$(mktemp -d)"',
        ]
    if model:
        lines.append(f'export {CURRENT_MODEL}="${{{{inputs.{_MODEL}}}}}"')
    lines.append(
        f'exec python {LAUNCHER} --task "$task" --root {TREE} '
        f'--output "${{{{outputs.{OUTPUT}}}}}" --overlay "$(mktemp -d)" --executable {EXECUTABLE}'
    )
    return "\n".join(lines)


def _encoded(task: Task) -> str:
    """Base64, which neither a shell nor Azure ML's expressions interpret."""
    encoded = base64.b64encode(json.dumps(launch_task(task.spec)).encode()).decode()
    if len(encoded) > _TASK_LIMIT:
        raise Permanent(
            f"The parameters of {task.spec.name} are too large for a job's environment. Put them "
            "in a file in the repository."
        )
    return encoded
