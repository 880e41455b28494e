"""What a bad day of the service does to a build: a delay, or one sentence."""

from __future__ import annotations

import resource
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from handlers.azureml_handler.scratch import PATIENCE
from mlgate.emulators.azure_ml import Fault, FaultKind
from mlgate.orchestration.errors import Permanent, Temporary, Throttled
from mlgate.orchestration.runs import RunStatus, Task
from tests.contract.handlers.azureml_handler.support import Bench

PUT = "jobs.put"
AWAY = Fault.answering(503)


@pytest.mark.parametrize(
    ("fault", "times", "slept"),
    [
        (Fault.answering(429, "7"), 1, [7.0]),
        (Fault.answering(429, "7"), 3, [7.0] * 3),
        (Fault.answering(500), 2, [1.6]),
        (Fault(FaultKind.RESET), 3, [1.6, 3.2]),
        (Fault(FaultKind.LOST), 2, [1.6]),
    ],
    ids=["throttled", "throttled thrice", "failing", "reset", "answers lost"],
)
def test_what_passes_is_sat_out(fault: Fault, times: int, slept: list[float], bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.server.faults.add(PUT, fault, times)
    assert bench.handler.submit(task)
    assert bench.calls(PUT) == [PUT] * (times + 1)
    assert bench.clock.slept == slept
    assert len(bench.server.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "requests", "delay"),
    [
        (Fault.answering(429, "15"), 4, 15.0),
        (Fault.answering(429, "300"), 1, 300.0),
        (Fault.answering(503), 4, 10.0),
        (Fault.answering(409), 1, 10.0),
        (Fault(FaultKind.RESET), 4, 10.0),
    ],
    ids=["throttled", "throttled for minutes", "failing", "busy", "reset"],
)
def test_what_does_not_pass_is_left_to_a_later_look(
    fault: Fault, requests: int, delay: float, bench: Bench
) -> None:
    task = bench.task("python train.py")
    bench.server.faults.add(PUT, fault, 99)
    with pytest.raises(Temporary) as busy:
        bench.handler.submit(task)
    assert busy.value.delay == delay
    assert bench.calls(PUT) == [PUT] * requests
    assert sum(bench.clock.slept) < 60


def test_what_the_service_asks_one_run_to_wait_is_waited_for_with_all(bench: Bench) -> None:
    one, other = bench.task("true", "one"), bench.task("true", "other")
    bench.server.faults.add(PUT, Fault.answering(429, "300"))
    with pytest.raises(Throttled, match="asks to wait for 300 seconds"):
        bench.handler.submit(one)
    bench.clock.sleep(100)
    with pytest.raises(Throttled) as told:
        bench.handler.submit(other)
    assert 199 <= told.value.delay <= 200
    assert bench.calls(PUT) == [PUT]
    bench.see(one)  # reads are counted apart
    bench.clock.sleep(190)
    assert bench.handler.submit(other)
    assert bench.clock.slept[:2] == [100, 190]
    assert sum(bench.clock.slept[2:]) == pytest.approx(10, abs=1)


def new() -> dict[str, str]:
    """Files that no workspace has yet."""
    return {"other.py": f"# {secrets.token_hex()}"}


CALLS: dict[str, tuple[str, Callable[[Bench, Any], object]]] = {
    "stage": ("codes.get", lambda bench, _: bench.stage(new())),
    "stage, while it uploads": ("blob.put", lambda bench, _: bench.stage(new())),
    "stage, after the upload": ("codes.put", lambda bench, _: bench.stage(new())),
    "look": ("jobs.get", lambda bench, task: bench.handler.look([task.attempt])),
    "look at many": ("jobs.list", lambda bench, task: bench.handler.look(bench.tries(task))),
    "cancel": ("jobs.cancel", lambda bench, task: bench.handler.cancel([task.attempt])),
    "collect": ("history.*", lambda bench, task: bench.handler.collect(task, bench.files)),
    "collect, secrets": (
        "datastores.*",
        lambda bench, task: bench.handler.collect(task, bench.files),
    ),
    "collect, files": ("blob.*", lambda bench, task: bench.handler.collect(task, bench.files)),
}


@pytest.mark.parametrize(("call", "act"), CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("fault", [AWAY, Fault(FaultKind.RESET)], ids=["failing", "reset"])
def test_whatever_is_asked_for_the_service_may_be_away(
    call: str, act: Callable[[Bench, Any], object], fault: Fault, after: Bench, ended: Task
) -> None:
    after.server.faults.add(call, fault, 99)
    with pytest.raises(Temporary):
        act(after, ended)
    after.server.faults.clear()
    act(after, ended)
    assert sum(after.clock.slept) < 90  # each wait of the storage SDK varies by three seconds


@pytest.mark.parametrize("asked", ["EnvironmentCredential", "DefaultAzureCredential"])
@pytest.mark.parametrize(
    "fault",
    [Fault.answering(500), Fault.answering(429, "0"), Fault(FaultKind.RESET)],
    ids=["failing", "throttled", "reset"],
)
def test_a_token_endpoint_that_is_away_is_no_refusal(
    asked: str, fault: Fault, bench: Bench
) -> None:
    import azure.identity

    task = bench.task("true")
    host = bench.another(getattr(azure.identity, asked)(retry_total=0))
    bench.server.faults.add("token*", fault, 99)
    with pytest.raises(Temporary, match="identity service does not answer"):
        host.look([task.attempt])


@pytest.mark.parametrize("asked", ["EnvironmentCredential", "DefaultAzureCredential"])
def test_an_identity_that_is_refused_is_told_with_the_remedy(
    asked: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import azure.identity

    task = bench.task("true")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    stranger = bench.another(getattr(azure.identity, asked)(retry_total=0))
    for act in (lambda: stranger.look([task.attempt]), lambda: stranger.submit(task)):
        with pytest.raises(
            Permanent, match=r"refused the host's identity|Give it a managed identity"
        ):
            act()


def test_a_host_without_an_identity_is_told_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.identity import EnvironmentCredential

    task = bench.task("true")
    monkeypatch.delenv("AZURE_CLIENT_ID")
    with pytest.raises(Permanent, match="Give it a managed identity"):
        bench.another(EnvironmentCredential()).look([task.attempt])


# Files are read and written with a key, for which no role is needed.
OF_ROLES = {name: call for name, call in CALLS.items() if not call[0].startswith("blob.")}


@pytest.mark.parametrize(("call", "act"), OF_ROLES.values(), ids=OF_ROLES.keys())
def test_an_identity_that_lacks_a_right_is_told_its_role(
    call: str, act: Callable[[Bench, Any], object], after: Bench, ended: Task
) -> None:
    after.server.faults.add(call, Fault.answering(403), 99)
    with pytest.raises(Permanent, match="the role"):
        act(after, ended)
    assert after.clock.slept == []


def test_an_unknown_compute_is_told_in_the_service_s_words(bench: Bench) -> None:
    with pytest.raises(Permanent, match="Unknown compute target 'gpu'"):
        bench.handler.submit(bench.task("true", compute="gpu"))


@pytest.mark.parametrize(
    "compute", ["local", "LOCAL", "/subscriptions/x/computes/y", "azureml:c", "a b", "../x"]
)
def test_what_is_no_compute_of_the_workspace_is_refused_before_the_sdk_sees_it(
    compute: str, bench: Bench
) -> None:
    """For `local` the SDK itself would execute the job, here."""
    task = bench.task("true", compute=compute)
    with pytest.raises(Permanent, match="is not a compute of the workspace"):
        bench.handler.submit(task)
    assert bench.calls(PUT) == []


def test_each_end_is_asked_for_although_one_is_refused(bench: Bench) -> None:
    tasks = [bench.task("sleep 600", f"run-{number}") for number in range(3)]
    for task in tasks:
        bench.handler.submit(task)
        bench.server.jobs.wait(task.attempt.id, "Running")
    bench.server.faults.add("jobs.cancel", Fault.answering(403))
    with pytest.raises(Permanent, match="the role"):
        bench.handler.cancel([task.attempt for task in tasks])
    answers = [each.status for each in bench.server.requests if each.call == "jobs.cancel"]
    assert sorted(answers) == [202, 202, 403]


def test_of_more_than_the_host_has_room_for_the_evidence_and_what_fits_are_taken_over(
    bench: Bench,
) -> None:
    script = (
        "import os\n"
        "for name, size in (('a', 70_000), ('b', 3)):\n"
        "    open('outputs/' + name, 'w').write('x' * size)\n"
    )
    bench.stage({"train.py": script})
    task = bench.task("python train.py")
    bench.run(task)
    bench.files.written.clear()
    handler = bench.another(free=lambda: 100_000)
    with pytest.raises(Temporary, match="too little is free"):
        handler.collect(task, bench.files)
    bench.clock.sleep(PATIENCE.total_seconds())
    outcome = handler.collect(task, bench.files)
    assert outcome.status is RunStatus.SUCCEEDED
    assert outcome.outputs == ("runs/train/outputs/b",)
    assert bench.files.list(bench.build) == ["runs/train/log.txt", "runs/train/outputs/b"]
    assert outcome.warnings == (
        "1 file was left out because the files of a run are too large together: outputs/a. "
        "This host has no room for more. Set TMPDIR to a folder on a larger disk. "
        f"See mlgate/{task.attempt.id} in the workspace's datastore workspaceblobstore.",
    )


@pytest.fixture
def left_much(bench: Bench) -> Task:
    """A run that has ended, with an output of two megabytes."""
    bench.stage({"train.py": "open('outputs/a', 'w').truncate(2<<20)"})
    task = bench.task("python train.py")
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id)
    return task


def test_a_host_without_a_folder_for_downloads_is_told_what_to_do(
    left_much: Task, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(tempfile, "tempdir", str(Path(__file__)))
        with pytest.raises(Temporary, match="for the files of the run train: Not a directory"):
            bench.handler.collect(left_much, bench.files)
    assert bench.ended(left_much).outputs == ("runs/train/outputs/a",)


def test_a_host_whose_disk_takes_no_more_is_told_what_to_do(left_much: Task, bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(Temporary, match=r"File too large\. Free some space, or set TMPDIR"):
            bench.handler.collect(left_much, bench.files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert bench.files.list(bench.build) == []
    assert bench.ended(left_much).outputs == ("runs/train/outputs/a",)


def test_the_outcome_alone_needs_no_disk_and_one_file(
    left_much: Task, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = bench.another(free=lambda: 0)
    before = len(bench.calls())
    with monkeypatch.context() as broken:
        broken.setattr(tempfile, "tempdir", str(Path(__file__)))
        outcome = handler.collect(left_much, None)
    assert (outcome.status, outcome.outputs) == (RunStatus.SUCCEEDED, ())
    files = [call for call in bench.calls()[before:] if call.startswith("blob")]
    assert files == ["blob.get"]


@contextmanager
def few_open_files(more: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len([*Path("/proc/self/fd").iterdir()]) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


OF_A_HOST = {name: call for name, call in CALLS.items() if not name.startswith("stage")} | {
    "stage": ("", lambda bench, _: bench.stage_again()),
    "submit": ("", lambda bench, _: bench.handler.submit(bench.task("true", "more"))),
    "collect alone": ("", lambda bench, task: bench.handler.collect(task, None)),
}


@pytest.mark.parametrize("act", [act for _, act in OF_A_HOST.values()], ids=OF_A_HOST.keys())
def test_whatever_is_asked_for_this_host_may_be_out_of_open_files(
    act: Callable[[Bench, Any], object], after: Bench, ended: Task
) -> None:
    """The stand-in is of this process, and so out of them as well; connections are there."""
    act(after, ended)
    for more in range(6):
        with few_open_files(more), suppress(Temporary):
            act(after, ended)
    act(after, ended)
