"""Workers that are killed, interrupted, or two at once: each attempt is executed once, or ended."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlgate.orchestration.runs import FailureKind, RunStatus
from tests.contract.handlers.local_handler.conftest import STUB, Bench
from tests.contract.handlers.local_handler.test_supervision import FOREVER, ROOT, supervisor_of


def test_two_workers_that_submit_at_once_execute_every_attempt_once(bench: Bench) -> None:
    counters = [bench.folder / f"executions-{number}" for number in range(6)]
    tasks = [
        bench.task(f"open({str(counter)!r}, 'a').write('x')", name=counter.name)
        for counter in counters
    ]
    workers = [bench.new_handler(parallel=6) for _ in range(3)]
    with ThreadPoolExecutor(18) as pool:
        assert all(pool.map(lambda pair: pair[0].submit(pair[1]), [
            (worker, task) for task in tasks for worker in workers
        ]))  # a row a line # fmt: skip
    for task in tasks:
        assert bench.ended(task).status is RunStatus.SUCCEEDED
    assert [counter.read_text() for counter in counters] == ["x"] * 6


WORKER = """
import sys
from pathlib import Path
from handlers.local_handler.handler import LocalHandler
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task

home, launcher, build, snapshot, count = sys.argv[1:]
handler = LocalHandler(home=Path(home), parallel=100, launcher=Path(launcher))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    spec = RunSpec(f"run-{number}", RunKind.TRAINING, command="script.py")
    handler.submit(Task(Attempt(build, spec.name, 1), spec, snapshot, "4711"))
"""


def test_a_worker_killed_at_random_moments_of_submitting(bench: Bench) -> None:
    """Ten workers are killed; the last one completes the build, each run executed once."""
    counters = bench.folder / "executions"
    counters.mkdir()
    count = 12
    script = f"open({str(counters)!r} + '/' + TASK['name'], 'a').write('x')"
    snapshot = bench.task(script).snapshot
    command = [sys.executable, "-c", WORKER, str(bench.home), str(STUB), bench.build, snapshot]
    chance = random.Random(7)
    for _ in range(10):
        worker = subprocess.Popen(
            [*command, str(count)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
        time.sleep(chance.uniform(0, 0.04))
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()
    subprocess.run([*command, str(count)], cwd=ROOT, input=b"go\n", check=True)
    names = [f"run-{number}" for number in range(count)]
    for name in names:
        task = bench.task(script, name=name)
        assert bench.ended(task).status is RunStatus.SUCCEEDED
    assert {path.name: path.read_text() for path in counters.iterdir()} == dict.fromkeys(names, "x")


INTERRUPTIBLE = """
import signal, sys, time
from pathlib import Path
from handlers.local_handler.handler import LocalHandler
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task

home, launcher, build, snapshot = sys.argv[1:]
handler = LocalHandler(home=Path(home), parallel=3, launcher=Path(launcher), grace_seconds=1.0)
tasks = []
for number in range(4):
    spec = RunSpec(f"run-{number}", RunKind.TRAINING, command="script.py")
    tasks.append(Task(Attempt(build, spec.name, 1), spec, snapshot, "4711"))
attempts = [task.attempt for task in tasks]
# A shell that starts its jobs in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("ready", flush=True)
    while True:
        for task in tasks:
            handler.submit(task)
        handler.look(attempts)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handler.cancel(attempts)
    while not all(seen.status.ended for seen in handler.look(attempts).values()):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.02, 0.06, 0.5])
def test_nothing_is_left_of_runs_canceled_at_ctrl_c(bench: Bench, delay: float) -> None:
    """The terminal's signal reaches the whole group of the worker, at any moment."""
    snapshot = bench.task(FOREVER).snapshot
    command = [sys.executable, "-c", INTERRUPTIBLE, str(bench.home), str(STUB), bench.build]
    worker = subprocess.Popen(
        [*command, snapshot], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    time.sleep(delay)
    os.killpg(worker.pid, signal.SIGINT)
    assert worker.wait() == 0
    worker.stdout.close()
    assert not bench.processes()


def test_a_worker_and_a_supervisor_killed_together(bench: Bench) -> None:
    """The next worker sees the run failed, and executes the next attempt."""
    ready = bench.folder / "ready"
    first = bench.task(f"open({str(ready)!r}, 'a').write('x')\n" + FOREVER)
    code = textwrap.dedent(
        f"""
        import pickle, sys, time
        from pathlib import Path
        from handlers.local_handler.handler import LocalHandler
        home, launcher = Path({str(bench.home)!r}), Path({str(STUB)!r})
        handler = LocalHandler(home=home, parallel=4, launcher=launcher)
        handler.submit(pickle.load(sys.stdin.buffer))
        time.sleep(3600)
        """
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE)
    assert worker.stdin is not None
    pickle.dump(first, worker.stdin)
    worker.stdin.close()
    bench.until(lambda: ready.exists() and ready.read_text() == "x")
    for pid in (worker.pid, supervisor_of(bench, first)):
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    outcome = bench.ended(first)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert not bench.processes()
    assert bench.run(bench.task(number=2)).status is RunStatus.SUCCEEDED
    assert ready.read_text() == "x"
