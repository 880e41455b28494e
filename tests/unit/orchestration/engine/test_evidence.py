"""What a run left is its last attempt's, and only what could be had counts as left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from mlgate.orchestration.builds import Build
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import Failure, FailureKind, Outcome, RunStatus, Task
from tests.unit.orchestration.engine.twins import BackendTwin, TreeTwin, World

FOLDER = "runs/a"
NETWORK = Failure(FailureKind.NETWORK, "The network was away.", cell=1)
ENVIRONMENT = Failure(FailureKind.ENVIRONMENT, "There is no such package.")
SOURCE = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {
                "cell_type": "code",
                "id": "one",
                "metadata": {},
                "source": "first_attempt()",
                "execution_count": 1,
                "outputs": [
                    {
                        "output_type": "error",
                        "ename": "ConnectionError",
                        "evalue": "of the first attempt",
                        "traceback": ["stack of the first attempt"],
                    }
                ],
            }
        ],
    }
).encode()


@dataclass
class Leaving(BackendTwin):
    """The first attempt of a run leaves a notebook and a file, and the second one a log."""

    second: Exception | None = None

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        key, number = task.attempt.build, task.attempt.number
        failed = Outcome(RunStatus.FAILED, failure=NETWORK if number == 1 else ENVIRONMENT)
        if number == 2 and self.second is not None:
            raise self.second
        if files is None:
            return failed
        left = (
            {"executed.ipynb": SOURCE, "executed.html": b"page", "log.txt": b"first log"}
            if number == 1
            else {"log.txt": b"second log"}
        )
        for name, content in left.items():
            files.write(key, f"{FOLDER}/{name}", content)
        if number == 1:
            files.write(key, f"{FOLDER}/outputs/half-written.csv", b"1,")
            failed = replace(failed, outputs=(f"{FOLDER}/outputs/half-written.csv",))
        return replace(failed, evidence=tuple(f"{FOLDER}/{name}" for name in left))


def ended(world: World, second: Exception | None = None) -> Build:
    world.backend = Leaving(second=second)
    world.repository.tree = TreeTwin({"a.ipynb": SOURCE})
    run = {"name": "a", "kind": "notebook", "path": "a.ipynb", "retries": 1}
    key = world.start(run, deadline_minutes=2)
    assert key
    world.run_to_end()
    build = world.build(key)
    assert build.run("a").attempt == 2
    return build


def reports(world: World, build: Build) -> str:
    names = ("junit.xml", "report.html", "result.json")
    return "".join((world.files.read(build.key, name) or b"").decode() for name in names)


def test_what_an_earlier_attempt_left_is_nobody_s_reason(world: World) -> None:
    """In no report, and in no result of the Tests tab."""
    build = ended(world)

    assert build.run("a").evidence == (f"{FOLDER}/log.txt",)
    assert build.run("a").outputs == ()
    written = reports(world, build)
    assert "There is no such package." in written
    for word in ("first attempt", "first_attempt", "half-written", "executed.ipynb"):
        assert word not in written
    [result] = world.pipeline.published[-1].runs
    assert result.files == (f"{FOLDER}/log.txt",)
    message, stack = result.detail() if result.detail else (result.message, result.stack)
    assert "first attempt" not in message + stack


@pytest.mark.parametrize("fault", [Permanent("The blob is gone."), Temporary("busy")], ids=repr)
def test_what_could_not_be_collected_counts_as_left_by_nobody(
    world: World, fault: Exception
) -> None:
    """Its log says why there is none; a build that ends gives it up."""
    build = ended(world, fault)

    assert build.run("a").evidence == ()
    assert not build.run("a").ended
    log = (world.files.read(build.key, f"{FOLDER}/log.txt") or b"").decode()
    assert f"Its results could not be collected: {fault}" in log
    assert "first attempt" not in reports(world, build)


def test_files_that_cannot_be_kept_cost_the_files_and_not_the_run(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "builds").mkdir()
    world.start({"name": "a"})
    [build] = world.state.builds()
    (tmp_path / "builds" / build.key).write_text("a file in the way")
    world.backend = Leaving()
    world.run_to_end()

    run = world.build(build.key).run("a")
    assert run.failure == NETWORK
    assert any("files could not be kept" in warning for warning in run.warnings)
    assert (run.outputs, run.evidence) == ((), ())


@dataclass
class Choosy:
    """Files of a build, of which one can never be written."""

    real: BuildFiles
    refused: str
    fault: Exception

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        if path == self.refused:
            raise self.fault
        self.real.write(build, path, content)


@pytest.mark.parametrize("fault", [Permanent("Its name is too long."), Temporary("busy")], ids=repr)
def test_a_file_that_can_never_be_kept_costs_the_files_of_its_run_alone(
    world: World, fault: Exception
) -> None:
    world.files = cast("BuildFiles", Choosy(world.files, "runs/a/odd.txt", fault))
    world.backend.kept = {"a": {"odd.txt": b""}, "b": {"some.txt": b"of b"}}
    world.backend.outcomes["a"] = [Outcome(RunStatus.SUCCEEDED, metrics={"accuracy": 0.9})]
    key = world.start({"name": "a"}, {"name": "b"})
    assert key
    world.run_to_end()

    run, other = world.build(key).run("a"), world.build(key).run("b")
    assert (run.status, run.metrics) == (RunStatus.SUCCEEDED, {"accuracy": 0.9})
    assert run.warnings == (f"Its files could not be kept: {fault}",)
    assert (other.status, other.warnings) == (RunStatus.SUCCEEDED, ())
    assert world.files.read(key, "runs/b/some.txt") == b"of b"


class Careful(BackendTwin):
    """Reads again what it has kept."""

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        assert files is not None
        key, path = task.attempt.build, f"{FOLDER}/log.txt"
        files.write(key, path, b"one two")
        self.found = (
            files.read(key, path),
            files.read(key, path, 3),
            b"".join(files.parts(key, path)),
            files.tail(key, path, 3),
            files.list(key, FOLDER),
            files.location(key),
        )
        return super().collect(task, files)


def test_a_backend_finds_what_it_has_kept(world: World) -> None:
    world.backend = Careful()
    key = world.start({"name": "a"})
    assert key
    world.run_to_end()

    whole, path = b"one two", f"{FOLDER}/log.txt"
    assert world.backend.found == (whole, None, whole, b"two", [path], world.files.location(key))
