"""What stays with the pipeline: one test run, one result per run, a summary, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.devops_handler import DevOpsHandler
from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops import AzureDevOps, Fault, FaultKind, Faults
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.told import Completion, Progress, Results, RunResult
from tests.contract.devops.support import Scene, SteppedClock, address_of, token_of

BUILD = "0123456789abcdef0123"


def run(name: str, status: RunStatus = RunStatus.SUCCEEDED, **fields: object) -> RunResult:
    files = tuple(f"runs/{name}/{file}" for file in ("executed.html", "executed.ipynb", "log.txt"))
    start = SteppedClock().now()
    given = RunResult(name, f"{name}.ipynb", status, start, 2.5, files=files)
    return replace(given, **fields)  # type: ignore[arg-type]  # whichever field a test is about


FAILED = run("b", RunStatus.FAILED, message="cell 7: KeyError: 'x'", stack="x['x']\n\nKeyError")
FINAL = Results(
    build=BUILD,
    build_id="1",
    title="mlgate 01234567",
    runs=(run("a"), FAILED, run("c", RunStatus.SKIPPED, started_at=None, seconds=None)),
    verdict=Verdict.FAILED,
    summary="# Failed",
    files=("result.json", "report.html", "junit.xml"),
)
RUNNING = replace(FINAL, runs=(), verdict=None, summary="", files=())


@pytest.fixture
def files(tmp_path: Path) -> FolderFiles:
    kept = FolderFiles(lambda _: tmp_path)
    for name in "ab":
        for file in ("executed.html", "executed.ipynb", "log.txt"):
            kept.write(BUILD, f"runs/{name}/{file}", f"{file} of {name}".encode())
    for file in FINAL.files:
        kept.write(BUILD, file, file.encode())
    return kept


def publish(scene: Scene, files: FolderFiles, results: Results) -> bool:
    address, token = address_of(scene.task), token_of(scene.task)
    return scene.handler.publish(address, token, results, files)


def outcomes(scene: Scene) -> Mapping[str, str]:
    """The outcome of each result of the only test run, by its test."""
    [test_run] = scene.task.test_runs
    return {result.name: result.fields["outcome"] for result in test_run.results.values()}


def everything_is_there(scene: Scene) -> None:
    assert outcomes(scene) == {"a": "Passed", "b": "Failed", "c": "NotExecuted"}
    [test_run] = scene.task.test_runs
    assert test_run.state == "Completed"
    for name in "ab":
        attached = test_run.named(name).attachments
        assert {key: value.decode() for key, value in attached.items()} == {
            file: f"{file} of {name}" for file in ("executed.html", "executed.ipynb", "log.txt")
        }
    assert test_run.named("c").attachments == {}
    assert scene.task.attachments == {
        ("Summary", "mlgate"): b"# Failed",
        **{("FileAttachment", file): file.encode() for file in FINAL.files},
    }


def test_everything_is_there_before_the_step_ends(scene: Scene, files: FolderFiles) -> None:
    assert publish(scene, files, FINAL)
    everything_is_there(scene)
    scene.complete(Completion(Verdict.FAILED, "1 of 3 runs passed"))
    assert scene.calls.index("runs.update") < scene.calls.index("events")


def test_a_failed_result_says_where_and_why(scene: Scene, files: FolderFiles) -> None:
    publish(scene, files, FINAL)
    fields = scene.task.test_runs[0].named("b").fields
    assert fields["errorMessage"] == "cell 7: KeyError: 'x'"
    assert fields["stackTrace"].startswith("x['x']")
    assert (fields["testCaseTitle"], fields["durationInMs"]) == ("b: b.ipynb", 2500)


def test_results_are_shown_while_the_build_goes_on(scene: Scene, files: FolderFiles) -> None:
    """The test run begins with the build; a run is there with its files as soon as it ends."""
    publish(scene, files, RUNNING)
    assert outcomes(scene) == {}
    scene.clock.step(1)
    publish(scene, files, replace(RUNNING, runs=(run("a"),)))
    [test_run] = scene.task.test_runs
    assert (test_run.state, list(outcomes(scene))) == ("InProgress", ["a"])
    assert "executed.html" in test_run.named("a").attachments
    publish(scene, files, FINAL)
    everything_is_there(scene)


def test_publishing_again_adds_nothing(scene: Scene, files: FolderFiles) -> None:
    publish(scene, files, FINAL)
    for again in (scene, scene.another_handler()):
        publish(again, files, FINAL)
    everything_is_there(scene)
    assert scene.calls.count("runs.create") == scene.calls.count("results.add") == 1


def test_another_host_goes_on_where_one_stopped(scene: Scene, files: FolderFiles) -> None:
    publish(scene, files, replace(RUNNING, runs=(run("a"),)))
    publish(scene.another_handler(), files, FINAL)
    everything_is_there(scene)


@pytest.mark.parametrize("build_id", [None, "", "20261121.3", "-1", "\u0661"])
def test_without_the_number_of_a_build_there_is_no_tests_tab(
    build_id: str | None, scene: Scene, files: FolderFiles
) -> None:
    """All the rest is there, and the remedy is told once, at the end."""
    assert publish(scene, files, replace(RUNNING, build_id=build_id))
    assert scene.calls == []
    with pytest.raises(Permanent, match=r"\$\(Build\.BuildId\)"):
        publish(scene, files, replace(FINAL, build_id=build_id))
    assert scene.task.test_runs == []
    assert ("Summary", "mlgate") in scene.task.attachments


@pytest.mark.parametrize("others", [0, 1, 99, 100, 101, 250])
def test_a_test_run_is_found_among_those_of_other_tasks(
    others: int, scene: Scene, files: FolderFiles
) -> None:
    """The list comes in pages of 100; many tasks name theirs alike."""
    scene.task.add_test_runs(["VSTest"] * others)
    publish(scene, files, replace(RUNNING, runs=(run("a"),)))
    publish(scene.another_handler(), files, FINAL)
    assert [each.name for each in scene.task.test_runs].count(FINAL.title) == 1
    assert scene.calls.count("runs.list") == (others + 99) // 100 + 1 + others // 100 + 1


def test_a_test_run_is_not_looked_for_without_end(scene: Scene, files: FolderFiles) -> None:
    """5000 test runs are too many for the Tests tab anyway; all the rest is there."""
    scene.task.add_test_runs(f"run {number}" for number in range(5000))
    with pytest.raises(Permanent, match="5000 test runs or more"):
        publish(scene, files, FINAL)
    assert scene.calls.count("runs.list") == 50
    assert ("Summary", "mlgate") in scene.task.attachments


def test_a_canceled_build_aborts_its_test_run(scene: Scene, files: FolderFiles) -> None:
    publish(scene, files, replace(RUNNING, runs=(run("a"),)))
    scene.task.cancel()
    before = len(scene.calls)
    canceled = replace(RUNNING, verdict=Verdict.CANCELED)
    for handler in (scene, scene.another_handler()):
        assert publish(handler, files, canceled)
    assert scene.task.test_runs[0].state == "Aborted"
    assert scene.calls[before:] == ["runs.list", "runs.update", "runs.list"]


def test_a_build_canceled_before_its_test_run_begins_none(scene: Scene, files: FolderFiles) -> None:
    assert publish(scene, files, replace(RUNNING, verdict=Verdict.CANCELED))
    assert scene.calls == ["runs.list"]


def test_a_step_that_ended_meanwhile_gets_no_results(scene: Scene, files: FolderFiles) -> None:
    publish(scene, files, RUNNING)
    scene.task.cancel()
    assert publish(scene, files, FINAL)
    assert (scene.task.test_runs[0].state, outcomes(scene)) == ("Aborted", {})
    assert scene.task.attachments == {}


def test_an_ended_plan_is_no_error(scene: Scene, files: FolderFiles) -> None:
    scene.task.end_plan()
    assert publish(scene, files, FINAL)
    assert scene.task.test_runs == []


class StopsAt(Faults):
    """The service is gone from the n-th request on, with or without that one's effect."""

    def __init__(self, number: int, kind: FaultKind) -> None:
        super().__init__()
        self.left = number
        self.kind = kind

    def take(self, call: str) -> Fault | None:
        self.left -= 1
        if self.left > 0:
            return None
        return Fault(self.kind if self.left == 0 else FaultKind.RESET)


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.LOST], ids=lambda kind: kind.name)
@pytest.mark.parametrize("number", range(1, 20))
@pytest.mark.parametrize("elsewhere", [True, False], ids=["another host", "the same"])
def test_what_stops_between_any_two_requests_leaves_nothing_twice(
    number: int, kind: FaultKind, elsewhere: bool, clock: SteppedClock, files: FolderFiles
) -> None:
    """Whatever was last on its way, the next call brings it to its end: strict mode counts.

    The same host knows the test run from before.
    """
    faults = StopsAt(10_000, kind)
    with AzureDevOps(clock=clock.now, faults=faults) as server:
        handler = DevOpsHandler(allowed=[server.collection_url], clock=clock)
        scene = Scene(server, clock, server.new_task(), handler)
        if not elsewhere:
            publish(scene, files, RUNNING)
        faults.left = number
        try:
            publish(scene, files, FINAL)
        except Temporary:
            pass
        else:
            assert faults.left > 0, "it did not notice"
        faults.left = 10_000
        publish(scene.another_handler() if elsewhere else scene, files, FINAL)
        everything_is_there(scene)
        assert server.violations == []


CALLS = [
    "runs.list",
    "runs.create",
    "results.list",
    "results.add",
    "results.attach",
    "results.update",
    "runs.update",
    "attachments.put",
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault.answering(429, "3"),
        Fault.answering(503),
        Fault(FaultKind.RESET),
        Fault(FaultKind.LOST),
        Fault(FaultKind.GARBLED),
    ],
    ids=lambda fault: fault.kind.name + str(fault.status),
)
def test_a_call_that_fails_twice_is_made_up_for(
    call: str, fault: Fault, scene: Scene, files: FolderFiles
) -> None:
    """Within the same publishing, and without making anything twice."""
    scene.server.faults.add(call, fault, times=2)
    publish(scene, files, FINAL)
    everything_is_there(scene)


@pytest.mark.parametrize("call", ["runs.list", "runs.create", "results.add", "results.update"])
def test_a_tests_tab_that_is_refused_costs_nothing_else(
    call: str, scene: Scene, files: FolderFiles
) -> None:
    """A job without leave to write test results still has its summary; it is asked but once."""
    scene.server.faults.add(call, Fault.answering(403), times=50)
    publish(scene, files, RUNNING)
    scene.clock.step(1)
    for _ in range(2):
        with pytest.raises(Permanent, match="Tests tab"):
            publish(scene, files, FINAL)
    assert scene.calls.count(call) == 1
    assert len(scene.task.attachments) == 4


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


def test_a_record_that_keeps_no_summary_keeps_the_rest(scene: Scene, files: FolderFiles) -> None:
    scene.server.faults.add("attachments.put", Fault.answering(400))
    with pytest.raises(Permanent, match="no summary"):
        publish(scene, files, FINAL)
    assert ("FileAttachment", "report.html") in scene.task.attachments
    assert outcomes(scene)["b"] == "Failed"


def test_a_service_that_is_ill_for_one_part_gets_the_others(
    scene: Scene, files: FolderFiles
) -> None:
    scene.server.faults.add("attachments.put", Fault.answering(500), times=3)
    with pytest.raises(Temporary):
        publish(scene, files, FINAL)
    assert outcomes(scene)["b"] == "Failed"
    assert publish(scene, files, FINAL)
    everything_is_there(scene)
    assert scene.calls.count("attachments.put") == 3 + 4


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
        def read(self, build: str, path: str) -> bytes | None:
            scene.clock.step(1)
            return super().read(build, path)

    slow = Slow(files._folder)
    calls = 1
    while not publish(scene, slow, many):
        calls += 1
    assert calls == 9
    [test_run] = scene.task.test_runs
    assert all(each.fields["state"] == "Completed" for each in test_run.results.values())


def test_the_hosts_identity_publishes_when_the_token_has_expired(
    scene: Scene, files: FolderFiles
) -> None:
    publish(scene, files, RUNNING)
    scene.task.expire_token()
    assert publish(scene.another_handler(identity=True), files, FINAL)
    everything_is_there(scene)
    assert scene.server.requests[-1].caller == "identity"


def test_times_that_make_no_sense_are_mended(scene: Scene, files: FolderFiles) -> None:
    """The service wants an end after the start, and a duration it can hold."""
    begun = SteppedClock().now() - timedelta(days=1)
    odd = (run("a", seconds=0.0), run("b", seconds=1e30, started_at=begun))
    assert publish(scene, files, replace(FINAL, runs=odd))
    assert scene.task.test_runs[0].named("a").fields["durationInMs"] == 0
