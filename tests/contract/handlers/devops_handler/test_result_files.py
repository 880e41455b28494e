"""The files of results: which are attached, which are not, and how long they may take."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops import Fault
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import READ_LIMIT
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Progress, Results, RunResult
from tests.contract.handlers.devops_handler.published import (
    BUILD,
    FINAL,
    outcomes,
    publish,
    run,
)
from tests.contract.handlers.devops_handler.support import Scene


@pytest.mark.parametrize(("status", "times"), [(413, 1), (500, 3)])
def test_an_attachment_that_is_not_taken_is_named_in_its_result(
    status: int, times: int, scene: Scene, files: FolderFiles
) -> None:
    """It does not leave the test run unfinished, whatever the service says to it."""
    scene.server.faults.add("results.attach", Fault.answering(status), times=times)
    publish(scene, files, FINAL)
    result = scene.task.test_runs[0].named("b")
    assert sorted(result.attachments) == ["executed.ipynb", "log.txt"]
    assert "executed.html is not attached" in result.fields["comment"]
    assert scene.task.test_runs[0].state == "Completed"


def test_too_large_a_file_is_named_and_too_long_a_log_keeps_its_end(
    scene: Scene, files: FolderFiles
) -> None:
    most = 32 * 1024 * 1024
    files.write(BUILD, "runs/a/executed.html", bytes(most + 1))
    files.write(BUILD, "runs/a/log.txt", b"x" * most + b"the end")
    publish(scene, files, FINAL)
    result = scene.task.test_runs[0].named("a")
    assert sorted(result.attachments) == ["executed.ipynb", "log.txt"]
    assert result.attachments["log.txt"].endswith(b"xthe end")
    assert "executed.html is too large" in result.fields["comment"]


@pytest.fixture
def many(files: FolderFiles) -> Results:
    """500 runs, of which every fifth failed, with a log each."""
    runs = []
    for number in range(500):
        name = f"run-{number}"
        status = RunStatus.SUCCEEDED if number % 5 else RunStatus.FAILED
        runs.append(run(name, status, files=(f"runs/{name}/log.txt",)))
        files.write(BUILD, f"runs/{name}/log.txt", b"log")
    return replace(FINAL, runs=tuple(runs))


def test_a_build_whose_runs_end_at_once_attaches_the_files_of_some(
    many: Results, scene: Scene, files: FolderFiles
) -> None:
    """All have a result, and those that failed have their files: a burst, then one a second.
    The others, which the verdict does not wait for, tell where the files are."""
    began = scene.clock.now()
    while not publish(scene, files, many):
        pass
    assert scene.clock.now() - began < timedelta(seconds=90)
    [test_run] = scene.task.test_runs
    results = list(test_run.results.values())
    attached = [each.fields["outcome"] for each in results if each.attachments]
    assert attached.count("Failed") == 100
    assert attached.count("Passed") < 20
    assert all(each.fields["state"] == "Completed" for each in results)
    assert all(each.attachments or "build's files" in each.fields["comment"] for each in results)


def test_files_of_runs_that_passed_do_not_hold_up_the_verdict(
    many: Results, scene: Scene, files: FolderFiles
) -> None:
    """They get what may be sent at once; all of them are among the build's files."""
    passed = tuple(each for each in many.runs if each.status is RunStatus.SUCCEEDED)
    assert publish(scene, files, replace(many, runs=passed[:40], verdict=Verdict.SUCCEEDED))
    assert scene.clock.slept == []
    results = scene.task.test_runs[0].results.values()
    assert len([each for each in results if each.attachments]) == 30


def test_runs_without_files_are_not_asked_for_them(scene: Scene, files: FolderFiles) -> None:
    """Also by another process, which did not add their results."""
    skipped = tuple(run(f"s{number}", RunStatus.SKIPPED, files=()) for number in range(9))
    results = replace(FINAL, runs=skipped)
    scene.server.faults.add("results.update", Fault.answering(503), times=3)
    with pytest.raises(Temporary):
        publish(scene, files, results)
    publish(scene.another_handler(), files, results)
    assert "results.files" not in scene.calls


def test_a_clock_that_is_set_back_does_not_prolong_publishing(
    many: Results, scene: Scene, files: FolderFiles
) -> None:
    failed = tuple(replace(each, status=RunStatus.FAILED) for each in many.runs)
    results = replace(many, runs=failed)
    publish(scene, files, results)
    scene.clock.step(-3600)
    began = scene.clock.now()
    while not publish(scene, files, results):
        pass
    assert scene.clock.now() - began < timedelta(seconds=220)


def test_a_build_that_goes_on_does_not_wait_for_files(
    many: Results, scene: Scene, files: FolderFiles
) -> None:
    """Lines are due meanwhile. What was left out follows with the runs that end later."""
    began = scene.clock.now()
    going = replace(many, verdict=None)
    assert not publish(scene, files, replace(going, runs=many.runs[:40]))
    assert scene.clock.now() == began
    assert scene.calls.count("results.attach") == 30
    scene.clock.step(20)
    assert publish(scene, files, replace(going, runs=many.runs[40:41]))
    [test_run] = scene.task.test_runs
    assert all(each.attachments for each in test_run.results.values())


def test_a_large_build_shows_its_results_once_a_second(
    many: Results, scene: Scene, files: FolderFiles
) -> None:
    """500 runs that end within ten seconds: a request of each kind a second, not one per run."""
    bare = [replace(each, files=()) for each in many.runs]
    for number, each in enumerate(bare):
        lines = (f"{each.name}: passed",)
        scene.show(Progress(number // 5, f"{number}/500 runs", lines, number + 1))
        publish(scene, files, replace(many, runs=(each,), verdict=None))
        scene.clock.step(0.02)
    seconds = 11
    for call in ("records.patch", "feed", "logs.append", "results.add", "results.update"):
        assert 2 <= scene.calls.count(call) <= seconds
    publish(scene, files, replace(many, runs=tuple(bare)))
    assert len(outcomes(scene)) == 500


def test_a_publishing_that_takes_long_is_left_to_the_next_call(
    many: Results, scene: Scene, files: FolderFiles
) -> None:
    """Each call leaves results that are complete, and says that there is more to do."""

    class Slow(FolderFiles):
        def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
            scene.clock.step(1)
            return super().read(build, path, most)

        def tail(self, build: str, path: str, most: int) -> bytes:
            scene.clock.step(1)
            return super().tail(build, path, most)

    slow = Slow(files._folder)
    calls = 1
    while not publish(scene, slow, many):
        calls += 1
    assert calls == 9
    [test_run] = scene.task.test_runs
    assert all(each.fields["state"] == "Completed" for each in test_run.results.values())


def test_what_notebooks_tell_is_read_in_slices_and_once(scene: Scene, files: FolderFiles) -> None:
    """Reading one takes a second here: the rest is left to the next call, which reads no other."""
    told: list[str] = []

    def detailed(name: str) -> RunResult:
        def detail() -> tuple[str, str]:
            scene.clock.step(1)
            told.append(name)
            return f"cell 3: of {name}", "step(3)"

        return run(name, RunStatus.FAILED, files=(), message="bare", detail=detail)

    results = replace(FINAL, runs=tuple(detailed(f"run-{number}") for number in range(50)))
    calls = 1
    while not publish(scene, files, results):
        calls += 1
    assert calls == 3
    assert sorted(told) == sorted(each.name for each in results.runs)
    [test_run] = scene.task.test_runs
    assert test_run.state == "Completed"
    for name, result in ((each.name, each) for each in test_run.results.values()):
        assert result.fields["errorMessage"] == f"cell 3: of {name}"
        assert result.fields["stackTrace"] == "step(3)"


def test_results_on_the_way_that_were_left_to_the_next_call_are_not_lost(
    scene: Scene, files: FolderFiles
) -> None:
    def detail() -> tuple[str, str]:
        scene.clock.step(1)
        return "cell 3", "step(3)"

    failed = tuple(
        run(f"run-{number}", RunStatus.FAILED, files=(), detail=detail) for number in range(5)
    )
    going = replace(FINAL, verdict=None)
    assert not publish(scene, files, replace(going, runs=failed))
    for _ in range(9):
        scene.clock.step(5)
        publish(scene, files, replace(going, runs=()))
    assert len(outcomes(scene)) == 5


@pytest.mark.parametrize("error", [Temporary("not now"), Permanent("no"), MemoryError()])
def test_a_notebook_that_cannot_be_read_costs_no_result(
    error: Exception, scene: Scene, files: FolderFiles
) -> None:
    def detail() -> tuple[str, str]:
        raise error

    failed = run("b", RunStatus.FAILED, message="KeyError", files=(), detail=detail)
    assert publish(scene, files, replace(FINAL, runs=(failed,)))
    [test_run] = scene.task.test_runs
    assert test_run.named("b").fields["errorMessage"] == "KeyError"


def test_notebooks_are_not_read_for_a_verdict_that_has_waited_long_enough(
    scene: Scene, files: FolderFiles
) -> None:
    def detail() -> tuple[str, str]:
        scene.clock.step(60)
        return "cell 3", ""

    failed = tuple(
        run(f"run-{number}", RunStatus.FAILED, message="bare", files=(), detail=detail)
        for number in range(100)
    )
    began = scene.clock.now()
    while not publish(scene, files, replace(FINAL, runs=failed)):
        pass
    assert scene.clock.now() - began < timedelta(minutes=5)
    assert len(outcomes(scene)) == 100


def test_a_file_that_may_not_be_read_is_named_in_its_result(
    scene: Scene, files: FolderFiles
) -> None:
    class Refusing(FolderFiles):
        def read(self, build: str, path: str, most: int = READ_LIMIT) -> bytes | None:
            if path.endswith("executed.html"):
                raise Permanent("No right to it.")
            return super().read(build, path, most)

    refusing = Refusing(lambda _: Path(files.location(BUILD)))
    assert publish(scene, refusing, FINAL)
    result = scene.task.test_runs[0].named("b")
    assert sorted(result.attachments) == ["executed.ipynb", "log.txt"]
    assert "executed.html is not attached: No right to it." in result.fields["comment"]


def test_a_report_that_is_too_large_is_a_warning(scene: Scene, files: FolderFiles) -> None:
    files.write(BUILD, "report.html", bytes((32 << 20) + 1))
    with pytest.raises(Permanent, match=r"The step has no report\.html: .* too large to attach"):
        publish(scene, files, FINAL)
    assert ("FileAttachment", "report.html") not in scene.task.attachments
    assert ("FileAttachment", "junit.xml") in scene.task.attachments
