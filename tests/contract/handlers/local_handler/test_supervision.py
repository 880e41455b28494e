"""Whatever is killed, nothing of a run is left behind and nothing is executed twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handlers.local_handler import supervisor
from mlgate.orchestration.runs import FailureKind, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench

ROOT = Path(__file__).parents[4]

STUBBORN = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
def last(ready):
    open(ready, 'w').close()
    while True: time.sleep(0.05)
"""
# A grandchild whose parent has ended, in a session of its own, that ignores being asked to end.
DAEMON = (
    STUBBORN
    + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        last({ready!r})
    os._exit(0)
"""
)
# The same by `exec`, with an environment that does not tell where it comes from.
FORGETFUL_DAEMON = """
import subprocess, sys
code = "import os, time; open({ready!r}, 'w').close(); time.sleep(3600)"
subprocess.Popen([sys.executable, "-c", code], env={{}}, start_new_session=True)
"""
FOREVER = "\nimport time\nwhile True: time.sleep(0.05)\n"


@pytest.fixture(params=[STUBBORN + "last({ready!r})", DAEMON + FOREVER, FORGETFUL_DAEMON + FOREVER])
def endless(request: pytest.FixtureRequest, bench: Bench) -> str:
    """Runs that do not end by themselves, and do what they can to stay."""
    return str(request.param).format(ready=str(bench.folder / "ready"))


def below(pid: int) -> set[int]:
    """The processes below one, by what /proc says now; one that has ended is not there."""
    parents = {}
    for name in (path.name for path in Path("/proc").glob("[0-9]*")):
        try:
            state, parent = Path("/proc", name, "stat").read_text().rsplit(")")[1].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(name)] = int(parent)
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def supervisor_of(bench: Bench, task: Task) -> int:
    return int(json.loads((bench.attempt_folder(task) / "claim.json").read_text())["pid"])


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except OSError:
        return False


def begun(bench: Bench, task: Task) -> set[int]:
    """Submit, wait until the run does what it does, and return its processes."""
    assert bench.handler.submit(task)
    bench.until((bench.folder / "ready").exists)
    return below(supervisor_of(bench, task))


def test_a_canceled_run_is_gone_with_all_its_processes(bench: Bench, endless: str) -> None:
    task = bench.task(endless)
    processes = begun(bench, task)
    bench.handler.cancel([task.attempt])
    assert bench.ended(task).status is RunStatus.CANCELED
    assert len(processes) >= 2
    assert not any(map(exists, processes))


def test_a_run_over_its_limit_is_gone_with_all_its_processes(bench: Bench, endless: str) -> None:
    task = bench.task(endless, timeout_minutes=0.02)
    processes = begun(bench, task)
    outcome = bench.ended(task)
    assert outcome.status is RunStatus.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT
    assert outcome.failure.message == "The run exceeded its limit of 0.02 minutes."
    assert not any(map(exists, processes))


def test_what_a_run_leaves_behind_is_ended_with_it(bench: Bench) -> None:
    ready = str(bench.folder / "ready")
    task = bench.task(
        DAEMON.format(ready=ready) + f"\nwhile not os.path.exists({ready!r}): time.sleep(0.01)"
    )
    processes = begun(bench, task)
    assert bench.ended(task).status is RunStatus.SUCCEEDED
    assert not bench.processes()
    assert not any(map(exists, processes))


def test_a_run_that_is_asked_to_end_keeps_what_there_is(bench: Bench) -> None:
    task = bench.task(
        "import signal, time\n"
        "def end(*_):\n"
        "    (OUTPUT / 'kept' / 'part.txt').write_text('half')\n"
        "    finish('canceled', metrics={'loss': 1.5})\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(bench.folder / 'ready')!r}, 'w').close()\n" + FOREVER,
        timeout_minutes=0.02,
    )
    begun(bench, task)
    outcome = bench.ended(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT
    assert outcome.metrics == {"loss": 1.5}
    assert outcome.outputs == ("runs/train/part.txt",)


def test_a_killed_supervisor_takes_its_run_along(bench: Bench) -> None:
    """What the kernel does not end at once, the next look does; the run has failed then."""
    ready = str(bench.folder / "ready")
    task = bench.task(DAEMON.format(ready=ready) + FOREVER)
    processes = begun(bench, task)
    os.kill(supervisor_of(bench, task), signal.SIGKILL)
    bench.until(lambda: bench.see(task).status.ended)
    assert not bench.processes()
    # Killed they are; the last one takes what only the run saw along.
    bench.until(lambda: not any(map(exists, processes)))
    outcome = bench.ended(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert "supervisor ended without an outcome" in outcome.failure.message
    assert outcome.started_at is not None


def test_a_supervisor_that_is_asked_to_end_ends_its_run(bench: Bench, endless: str) -> None:
    """As when the machine shuts down: worth another attempt."""
    task = bench.task(endless)
    begun(bench, task)
    os.kill(supervisor_of(bench, task), signal.SIGTERM)
    outcome = bench.ended(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert not bench.processes()


def test_another_process_with_the_same_id_is_no_supervisor(bench: Bench) -> None:
    """After a reboot the recorded process id may be anybody's, this test's for one."""
    task = bench.task(FOREVER)
    assert bench.handler.submit(task)
    bench.until(lambda: bench.see(task).status is RunStatus.RUNNING)
    claim = bench.attempt_folder(task) / "claim.json"
    os.kill(supervisor_of(bench, task), signal.SIGKILL)
    for change in ({"started": "1"}, {"boot": "before"}):
        claim.write_text(json.dumps(json.loads(claim.read_text()) | {"pid": os.getpid()} | change))
        assert bench.see(task).status is RunStatus.FAILED


def test_a_supervisor_that_ended_before_its_claim_is_replaced_by_the_next_submit(
    bench: Bench,
) -> None:
    for number in range(1, 20):
        task = bench.task(number=number)
        assert bench.handler.submit(task)
        for pid in bench.processes():
            os.kill(pid, signal.SIGKILL)
        bench.until(lambda: not bench.processes())
        if not (bench.attempt_folder(task) / "claim.json").exists():
            assert bench.run(task).status is RunStatus.SUCCEEDED
            return
    pytest.fail("every supervisor was quicker than its end")


def test_two_supervisors_of_one_attempt_execute_it_once(bench: Bench) -> None:
    counter = bench.folder / "executions"
    task = bench.task(f"open({str(counter)!r}, 'a').write('x')")
    assert bench.handler.submit(task)
    command = [sys.executable, "-I", "-S", "-c", supervisor.BOOT, str(ROOT)]
    more = [subprocess.Popen([*command, str(bench.attempt_folder(task))]) for _ in range(5)]
    assert [process.wait() for process in more] == [0] * 5
    assert bench.ended(task).status is RunStatus.SUCCEEDED
    assert counter.read_text() == "x"
