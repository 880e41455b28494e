"""Runs get the environment that their file asks for, made once, and never half of one."""

from __future__ import annotations

import io
import json
import os
import signal
import textwrap
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from handlers.local_handler import environments
from mlgate.orchestration.runs import Environment, Failure, FailureKind, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench


def wheel(name: str = "tiny", version: str = "1.0") -> bytes:
    """A package of one module that knows its version."""
    content = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


WHEELS: Mapping[str, bytes] = {
    "wheels/tiny-1.0-py3-none-any.whl": wheel(),
    "wheels/tiny-2.0-py3-none-any.whl": wheel(version="2.0"),
}
USES_TINY = "import tiny, sys\nfinish(metrics={'version': float(tiny.version)})"


def asking(bench: Bench, text: str, script: str = USES_TINY, name: str = "train") -> Task:
    """A run whose requirements are `text`, in a repository that has the wheels."""
    return bench.task(
        script,
        name=name,
        files={**WHEELS, "requirements.txt": text},
        environment=Environment(requirements="requirements.txt"),
    )


def pinned(bench: Bench) -> str:
    """Requirements that do not depend on the commit: the wheels lie outside the repository."""
    folder = bench.folder / "index"
    for path, content in WHEELS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return f"--no-index\n--find-links file://{folder}/wheels\ntiny==1.0\n"


def failure_of(bench: Bench, task: Task) -> Failure:
    failure = bench.run(task).failure
    assert failure is not None
    return failure


def made(bench: Bench) -> dict[str, int]:
    """The environments there are, and when each was made."""
    found = (bench.home / "environments").glob("*/venv/pyvenv.cfg")
    return {path.parent.parent.name: path.stat().st_mtime_ns for path in found}


def test_a_requirements_file_is_installed_for_the_run(bench: Bench) -> None:
    task = asking(bench, "--no-index\n--find-links wheels\ntiny==1.0  # a comment\n")
    assert bench.run(task).metrics == {"version": 1.0}


def test_included_files_and_constraints_count(bench: Bench) -> None:
    text = "-r more/base.txt\n--no-index\n--find-links wheels\n"
    task = bench.task(
        USES_TINY,
        files={
            **WHEELS,
            "requirements.txt": text,
            "more/base.txt": "-c limits.txt\ntiny\n",
            "more/limits.txt": "tiny<2\n",
        },
        environment=Environment(requirements="requirements.txt"),
    )
    assert bench.run(task).metrics == {"version": 1.0}


def test_the_same_content_in_another_commit_is_the_same_environment(bench: Bench) -> None:
    text = pinned(bench)
    bench.run(asking(bench, text, name="first"))
    before = made(bench)
    bench.run(asking(bench, text, name="second"))
    assert made(bench) == before
    bench.run(asking(bench, text.replace("1.0", "2.0"), name="third"))
    assert len(made(bench)) == 2


def test_runs_that_start_together_make_one_environment(bench: Bench) -> None:
    text = pinned(bench)
    tasks = [asking(bench, text, name=f"run-{number}") for number in range(4)]
    for task in tasks:
        assert bench.handler.submit(task)
    assert [bench.ended(task).metrics for task in tasks] == [{"version": 1.0}] * 4
    assert len(made(bench)) == 1


def test_a_package_of_the_repository_outlives_the_attempt_that_installed_it(bench: Bench) -> None:
    """`-e .` points into a tree, and that of the first attempt is gone soon."""
    task = bench.task(
        "import own\nfinish(metrics={'version': own.version})",
        files={"own.py": "version = 3.0", "pyproject.toml": PYPROJECT, "backend.py": BACKEND}
        | {"requirements.txt": "-e .\n"},
        environment=Environment(requirements="requirements.txt"),
    )
    assert bench.run(task).metrics == {"version": 3.0}
    bench.handler.release(bench.build)
    assert not bench.attempt_folder(task).exists()
    assert bench.run(task).metrics == {"version": 3.0}
    assert len(made(bench)) == 1


PYPROJECT = """
[project]
name = "own"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = textwrap.dedent(
    """
    import os, time, zipfile
    def build_wheel(folder, *_, editable=False):
        wait = os.environ.get("UV_TEST_WAIT")
        if wait:
            open(wait + ".waiting", "w").close()
            while os.path.exists(wait): time.sleep(0.01)
        name = "own-1.0-py3-none-any.whl"
        with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
            archive.writestr("own.pth", os.getcwd())
            info = "own-1.0.dist-info/"
            about = ["Metadata-Version: 2.1", "Name: own", "Version: 1.0", ""]
            archive.writestr(info + "METADATA", "\\n".join(about))
            about = ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
            archive.writestr(info + "WHEEL", "\\n".join(about))
            archive.writestr(info + "RECORD", "")
        return name
    build_editable = build_wheel
    """
)


@dataclass
class Slow:
    """A task whose environment is made for as long as `wait` is there; `waiting`: it has begun."""

    wait: Path
    waiting: Path
    task: Task


@pytest.fixture
def slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Slow:
    wait = bench.folder / "wait"
    wait.touch()
    monkeypatch.setenv("UV_TEST_WAIT", str(wait))
    task = bench.task(
        files={"pyproject.toml": PYPROJECT, "backend.py": BACKEND, "requirements.txt": "-e .\n"},
        environment=Environment(requirements="requirements.txt"),
        timeout_minutes=0.02,
    )
    return Slow(wait, bench.folder / "wait.waiting", task)


def test_the_making_of_an_environment_is_seen_and_can_be_canceled(bench: Bench, slow: Slow) -> None:
    bench.handler.submit(slow.task)
    bench.until(slow.waiting.exists)
    seen = bench.see(slow.task)
    assert (seen.status, seen.activity) == (RunStatus.QUEUED, "creating environment")
    bench.handler.cancel([slow.task.attempt])
    assert bench.ended(slow.task).status is RunStatus.CANCELED
    assert not bench.processes()


def test_the_time_limit_is_for_the_execution_alone(bench: Bench, slow: Slow) -> None:
    bench.handler.submit(slow.task)
    bench.until(slow.waiting.exists)
    limit = time.monotonic() + 2 * slow.task.spec.timeout_minutes * 60
    bench.until(lambda: time.monotonic() > limit)
    assert bench.see(slow.task).status is RunStatus.QUEUED
    slow.wait.unlink()
    assert bench.ended(slow.task).status is RunStatus.SUCCEEDED


def test_an_environment_whose_maker_was_killed_is_made_anew(bench: Bench, slow: Slow) -> None:
    bench.handler.submit(slow.task)
    bench.until(slow.waiting.exists)
    claim = json.loads((bench.attempt_folder(slow.task) / "claim.json").read_text())
    os.kill(claim["pid"], signal.SIGKILL)
    failure = bench.ended(slow.task).failure
    assert failure is not None
    assert failure.kind is FailureKind.INFRASTRUCTURE
    assert not bench.processes()
    slow.wait.unlink()
    again = replace(slow.task, attempt=replace(slow.task.attempt, number=2))
    assert bench.run(again).status is RunStatus.SUCCEEDED


def test_environments_used_longest_ago_are_removed_and_none_in_use(bench: Bench) -> None:
    text = pinned(bench)
    go = bench.folder / "go"
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)"
    used = asking(bench, text, script=waits, name="first")
    bench.handler.submit(used)
    bench.until(lambda: bench.see(used).status is RunStatus.RUNNING)
    bench.run(asking(bench, text.replace("1.0", "2.0"), name="second"))
    assert len(made(bench)) == 2
    environments.prune(bench.home / "environments", limit=10 << 30)
    assert len(made(bench)) == 2
    environments.prune(bench.home / "environments", limit=0)
    assert len(made(bench)) == 1
    go.touch()
    assert bench.ended(used).status is RunStatus.SUCCEEDED
    environments.prune(bench.home / "environments", limit=0)
    assert not made(bench)


def test_of_a_conda_file_the_python_the_plain_packages_and_the_pip_part_are_used(
    bench: Bench,
) -> None:
    conda = """
        name: x
        channels: [conda-forge]
        dependencies:
        - python=3.99
        - pip
        - tiny=1.0
        - somewhere::odd=1|2
        - pip: [--no-index, --find-links wheels]
    """
    task = bench.task(
        USES_TINY,
        files={**WHEELS, "env/conda.yml": textwrap.dedent(conda).replace("wheels", "../wheels")},
        environment=Environment(conda_file="env/conda.yml", image="ubuntu"),
    )
    outcome = bench.run(task)
    assert outcome.metrics == {"version": 1.0}
    said = "\n".join(outcome.warnings)
    for ignored in ("channels", "odd", "ubuntu", "==3.99.*"):
        assert ignored in said


def test_an_azure_ml_environment_alone_means_the_hosts_python_and_says_so(bench: Bench) -> None:
    task = bench.task(environment=Environment(azureml="sklearn:1"))
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED
    assert "sklearn:1" in outcome.warnings[0]


def test_a_file_that_is_not_there_is_an_environment_failure_that_names_it(bench: Bench) -> None:
    task = bench.task(environment=Environment(requirements="absent.txt"))
    failure = failure_of(bench, task)
    assert failure.kind is FailureKind.ENVIRONMENT
    assert "absent.txt" in failure.message
    assert "absent.txt" in bench.log(task)


def test_a_package_that_cannot_be_had_is_an_environment_failure_in_uvs_words(bench: Bench) -> None:
    task = asking(bench, "--no-index\n--find-links wheels\ntiny==7\n")
    failure = failure_of(bench, task)
    assert failure.kind is FailureKind.ENVIRONMENT
    assert "tiny==7" in failure.message
    assert "No solution found" in bench.log(task)


def test_an_index_that_does_not_answer_is_a_network_failure_without_its_password(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    task = asking(bench, "--index-url http://me:secret@127.0.0.1:9/simple\nabsent-package\n")
    failure = failure_of(bench, task)
    assert failure.kind is FailureKind.NETWORK
    assert "secret" not in failure.message + bench.log(task)
