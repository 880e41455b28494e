"""A host that dies anywhere in a submission: the next one goes on, and nothing is there twice."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import Fault, FaultKind
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.runs import Attempt, Environment, RunKind, RunSpec, Task
from tests.contract.handlers.azureml_handler.host import stage_and_submit, submit_all
from tests.contract.handlers.azureml_handler.support import Bench, write

ROOT = Path(__file__).parents[4]
# Forked from a process that has imported the SDK already, which takes seconds.
HOSTS = multiprocessing.get_context("forkserver")
HOSTS.set_forkserver_preload(["tests.contract.handlers.azureml_handler.host"])
# Leaves a file of its own each time that it is executed.
SCRIPT = """
import os, tempfile
tempfile.mkstemp(dir={folder!r}, prefix=os.environ["MLGATE_RUN_NAME"])
"""


def killed_at(bench: Bench, number: int, kind: FaultKind, folder: Path, tasks: list[Task]) -> bool:
    """Whether a host was killed at its request of that number, counted from 0; else it was done."""
    server = bench.server
    server.faults.add("*", Fault.delay(0), times=number)
    server.faults.add("*", kind)
    seen = len(server.requests)
    host = HOSTS.Process(
        target=submit_all, args=(server.environment, server.workspace_name, folder, tasks)
    )
    host.start()
    while host.is_alive() and all(request.status for request in server.requests[seen:]):
        time.sleep(0.005)
    killed = any(not request.status for request in server.requests[seen:])
    if killed:
        host.kill()
    host.join()
    server.faults.clear()
    assert killed or host.exitcode == 0
    return killed


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(FaultKind.HANG, id="before", marks=pytest.mark.slow),
        pytest.param(FaultKind.MUTE, id="after"),
    ],
)
def test_wherever_a_host_is_killed_each_job_is_there_once(
    kind: FaultKind, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the hosts' parent finds this package
    environment = Environment(requirements="requirements.txt")
    line = "python train.py"
    server = bench.server
    for number in itertools.count():
        ran = tmp_path / f"ran-{number}"
        ran.mkdir()
        folder = tmp_path / f"commit-{number}"
        script = SCRIPT.format(folder=str(ran))
        write(folder, {"train.py": script, "requirements.txt": f"package=={number}\n"})
        tasks = [
            Task(
                Attempt(f"{number:032x}", name, 1),
                RunSpec(name, RunKind.TRAINING, command=line, environment=environment),
                "",
                "7",
            )
            for name in ("a-", "b-")
        ]
        jobs, codes = len(server.jobs), len(server.workspace.codes)
        killed = killed_at(bench, number, kind, folder, tasks)
        word = stage_and_submit(bench.handler, folder, tasks)
        for task in tasks:
            assert server.jobs.wait(task.attempt.id).status == "Completed"
        assert len(server.jobs) == jobs + len(tasks), number
        assert len(server.workspace.codes) == codes + 1, number
        referenced = {server.jobs[task.attempt.id].spec["codeId"] for task in tasks}
        assert referenced == {json.loads(word)["code"]}
        assert sorted(path.name[:2] for path in ran.iterdir()) == ["a-", "b-"], number
        if not killed:
            assert number > 10, "the host had all these requests to send"
            return


def test_two_hosts_that_stage_the_same_commit_at_once_share_one_code(bench: Bench) -> None:
    checkout = write(bench.folder / "commit", {f"{n}.txt": str(n) for n in range(20)})
    both = threading.Barrier(2)
    bench.server.faults.add("codes.upload", Fault.delay(0.3), times=2)

    def stage(_: int) -> str:
        host = bench.another()
        both.wait()
        return stage_and_submit(host, checkout.folder, [])

    with ThreadPoolExecutor(2) as hosts:
        words = set(hosts.map(stage, range(2)))
    assert len(words) == 1
    assert len(bench.server.workspace.codes) == 1
    assert len(bench.calls("codes.upload")) == 2, "neither saw the other's code"
    assert {f"tree/{n}.txt" for n in range(20)} < bench.uploaded().keys()


def test_a_job_whose_answer_was_lost_is_found_again(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.server.faults.add("jobs.put", FaultKind.LOST)
    assert bench.run(task).failure is None
    assert bench.calls("jobs.put") == ["jobs.put"] * 2
    assert len(bench.server.jobs) == 1


def test_a_refused_job_that_is_there_as_asked_for_is_taken_for_submitted(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.handler.submit(task)
    bench.server.faults.add("jobs.put", Fault.answering(400))
    assert bench.another().submit(task)


def test_a_job_that_a_host_with_other_defaults_submitted_is_found(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.handler.submit(task)
    assert bench.another(compute="cpu-cluster").submit(task)
    assert [r.status for r in bench.server.requests if r.call == "jobs.put"] == [201, 400]
    assert bench.ended(task).failure is None


def test_a_job_of_the_same_name_that_is_another_is_not_taken_for_it(bench: Bench) -> None:
    bench.handler.submit(bench.task("python train.py"))
    with pytest.raises(Permanent, match="already has another job named "):
        bench.handler.submit(bench.task("python train.py --other"))


def test_what_is_refused_and_not_there_is_refused(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.server.faults.add("jobs.put", Fault.answering(400))
    with pytest.raises(Permanent, match=r"Azure ML refuses \(400\): The request failed"):
        bench.handler.submit(task)
