"""Describes an attempt to its supervisor, as a JSON object."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handlers.local_handler import requirements, variables
from handlers.local_handler.attempts import AttemptFolder, create_file
from mlgate.launcher.archive import archive, compiled
from mlgate.load.pins import PINS
from mlgate.orchestration.backends.launching import own_variables
from mlgate.orchestration.backends.requirement_lines import Unusable
from mlgate.orchestration.runs import Attempt, RunKind, Task


@dataclass(frozen=True, slots=True)
class Host:
    """What is the same for every attempt of this host; programs are given as paths."""

    python: Path
    uv: str
    launcher: Path
    parallel: int
    environments: Path
    grace_seconds: float
    environment_seconds: float


@dataclass(frozen=True, slots=True)
class Staged:
    """The folders that are staged for an attempt: its commit, and the current version's files."""

    snapshot: Path
    model: Path | None


def own_launcher(folder: Path) -> Path:
    """The launcher in a file named by its content, because runs outlive the worker's version."""
    content = hashlib.sha256(archive() + importlib.util.MAGIC_NUMBER).hexdigest()[:16]
    path = folder / f"{content}.pyz"
    if not path.exists():
        create_file(path, compiled())
    return path


def label(attempt: Attempt) -> dict[str, Any]:
    """The minimal record of an attempt: its build and run."""
    return {"version": 1, "attempt": asdict(attempt)}


def for_supervisor(
    task: Task,
    host: Host,
    staged: Staged,
    folder_of: Callable[[Attempt], AttemptFolder],
) -> dict[str, Any]:
    """The content of `task.json`."""
    spec = task.spec
    plan, failure, warnings = _environment(task, staged.snapshot)
    own, refused = own_variables(spec.environment_variables)
    inputs = {name: folder_of(needed).kept for name, needed in task.inputs.items()}
    promised = variables.contract(folder_of(task.attempt), task, inputs, staged.model)
    return label(task.attempt) | {
        "snapshot": str(staged.snapshot),
        "plan": asdict(plan) if plan else None,
        "locust": asdict(requirements.Plan(PINS)) if spec.load else None,
        "failure": failure,
        "warnings": [*warnings, *refused],
        "python": str(host.python),
        "launcher": str(host.launcher),
        "uv": host.uv,
        "environments": str(host.environments),
        "variables": variables.threads(_cores(), min(host.parallel, task.of)) | promised | own,
        "inputs": list(map(str, inputs.values())),
        "model": str(staged.model) if staged.model else None,
        "limit_seconds": spec.timeout_minutes * 60,
        "grace_seconds": host.grace_seconds,
        "environment_seconds": host.environment_seconds,
    }


def _cores() -> int:
    """The number of cores that this process, and so what it starts, may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _environment(
    task: Task, snapshot: Path
) -> tuple[requirements.Plan | None, Mapping[str, str] | None, tuple[str, ...]]:
    """What to install, or why that is impossible, and warnings."""
    asked = task.spec.environment
    if asked is None:
        return None, None, ()
    try:
        plan = requirements.plan(asked, snapshot, notebook=task.spec.kind is RunKind.NOTEBOOK)
    except Unusable as problem:
        return None, {"kind": "environment", "message": str(problem)}, ()
    if plan is not None:
        return plan, None, plan.warnings
    warning = (
        f"{asked.azureml or asked.image} is not available on this machine, so the run used the "
        "host's own Python. Add a requirements or conda file beside it to use that instead."
    )
    return None, None, (warning,)
