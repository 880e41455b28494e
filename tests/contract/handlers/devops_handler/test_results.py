"""What stays with the pipeline: one test run, one result per run, a summary, files."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from handlers.devops_handler import DevOpsHandler
from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops import AzureDevOps, Fault, FaultKind, Faults
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.telling import Completion
from tests.contract.handlers.devops_handler.published import (
    FINAL,
    RUNNING,
    everything_is_there,
    outcomes,
    publish,
    run,
)
from tests.contract.handlers.devops_handler.support import Scene, SteppedClock


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
