"""A notebook run that is forked from a template is like one that is started as programs."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from mlgate.orchestration.runs import FailureKind, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench, known, settle, warm_up
from tests.contract.handlers.local_handler.test_supervision import below, exists, supervisor_of
from tests.contract.handlers.local_handler.test_with_the_launcher import WAITS, written
from tests.contract.handlers.local_handler.warmth import LINUX_ALONE, ROOT, of_cells, told, was_warm

pytestmark = LINUX_ALONE

FATES: Mapping[str, tuple[str, ...]] = {
    "succeeds": ("x = 1", "print('x is', x)", "x + 1"),
    "raises": ("x = 1", "x / 0", "x"),
    "leaves early": ("import sys", "sys.exit(0)", "1"),
    "leaves with a fault": ("import sys\nsys.exit(3)", "1"),
    "kills its kernel": ("import os", "os.kill(os.getpid(), 9)"),
    "ends its kernel": ("import os", "os._exit(5)"),
    "misses a module": ("import no_such_module",),
    "reads input": ("input()",),
    "writes at its exit": ("import atexit, pathlib\natexit.register(pathlib.Path('late').touch)",),
}


@pytest.mark.parametrize("fate", FATES)
def test_a_run_ends_as_one_that_is_started_as_programs(cold: Bench, fate: str) -> None:
    """The same outcome, the same cells, the same files."""
    ends = []
    for number in (1, 2):
        task = of_cells(cold, *FATES[fate], number=number)
        outcome = cold.run(task)
        cells = [(cell.number, cell.status) for cell in cold.see(task).cells]
        tree = cold.attempt_folder(task) / "tree" / "nb"
        left = sorted(path.name for path in tree.iterdir())
        failure = outcome.failure and (outcome.failure.kind, outcome.failure.cell)
        log = re.sub(r"\d+ MiB", "some MiB", written(cold, "log.txt")).splitlines()
        ends.append((outcome.status, failure, outcome.warnings, cells, left, log[0], log[-1]))
        assert was_warm(cold, task) is (number == 2)
        warm_up(cold)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", [RunStatus.CANCELED, FailureKind.TIMEOUT])
def test_a_run_that_is_ended_keeps_its_cells_so_far(warm: Bench, kind: object) -> None:
    limit = 0.05 if kind is FailureKind.TIMEOUT else 60
    task = of_cells(warm, "print('the first cell')", WAITS, timeout_minutes=limit)
    assert warm.handler.submit(task)
    warm.until((warm.attempt_folder(task) / "tree" / "nb" / "waiting").exists)
    if kind is RunStatus.CANCELED:
        warm.handler.cancel([task.attempt])
    outcome = warm.ended(task)
    assert kind in (outcome.status, outcome.failure and outcome.failure.kind)
    assert not warm.processes()
    assert was_warm(warm, task)
    assert "the first cell" in written(warm, "executed.ipynb")


STATE = """
import json, multiprocessing, os, resource, signal, site, sys, threading, warnings
json.dump({
    "argv": [a if "/" not in a and "parent" not in a else "" for a in sys.argv],
    "path": sys.path,
    "user": [site.USER_BASE, site.USER_SITE, sys.prefix, sys.executable],
    "finders": [str(finder).partition(" at ")[0] for finder in sys.meta_path],
    "flags": str(sys.flags),
    "filters": list(map(str, warnings.filters)),
    "main": sorted(n for n in vars(sys.modules["__main__"]) if n.startswith("__")),
    "packages": sorted({n.partition(".")[0] for n in sys.modules} - sys.stdlib_module_names),
    "directory": os.getcwd().rsplit("/", 2)[-2:],
    "environment": {n: v for n, v in os.environ.items() if n != "JPY_PARENT_PID"},
    "descriptors": [os.readlink(f"/proc/self/fd/{n}").partition(":")[0] for n in range(3)],
    "leads": os.getsid(0) == os.getpid(),
    "threads": sorted(t.name.split(" ")[0].rstrip("-0123456789") for t in threading.enumerate()),
    "signals": [str(signal.getsignal(n)).partition(" at ")[0] for n in range(1, 32)],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "limits": [resource.getrlimit(n) for n in range(10)],
    "streams": [sys.__stdout__.encoding, sys.__stdout__.errors, sys.__stdout__.write_through],
    "start": multiprocessing.get_start_method(),
    "umask": os.umask(0o022),
}, open("state.json", "w"))
"""


def test_a_kernel_finds_what_one_that_is_started_as_a_program_finds(cold: Bench) -> None:
    """Modules of ours, and of what renders notebooks, are not among it."""
    found = []
    for number in (1, 2):
        task = of_cells(cold, STATE, number=number)
        assert cold.run(task).status is RunStatus.SUCCEEDED
        state = cold.attempt_folder(task) / "tree" / "nb" / "state.json"
        found.append(json.loads(state.read_text().replace(task.attempt.id, "ATTEMPT")))
        assert was_warm(cold, task) is (number == 2)
        warm_up(cold)
    assert found[0] == found[1]
    assert not {"handlers", "mlgate", "nbconvert"} & set(found[1]["packages"])


def test_what_rendering_imported_can_be_imported_once_more(warm: Bench) -> None:
    names = "nbconvert, nbclient, jinja2, bs4, jsonschema, rpds, markupsafe, mistune, bleach"
    assert told(warm, f"import {names}", "[nbconvert.__name__]") == ["nbconvert"]


def test_two_kernels_share_nothing_random(warm: Bench) -> None:
    draws = (
        "import multiprocessing, os, random, secrets, tempfile, uuid",
        "[random.random(), secrets.token_hex(), str(uuid.uuid4()), tempfile.mktemp(),"
        " multiprocessing.current_process().authkey.hex(), os.urandom(8).hex()]",
    )
    first, second = (told(warm, *draws, number=number) for number in (1, 2))
    assert not set(map(str, first)) & set(map(str, second))


def test_the_variables_of_each_run_are_its_own(warm: Bench) -> None:
    """Runs with other variables have another template, from the third one on."""
    for number in range(1, 4):
        task = of_cells(warm, number=number, environment_variables={"COLOR": "red"})
        assert warm.run(task).status is RunStatus.SUCCEEDED
        settle(warm)
    names = "[__import__('os').environ.get(n) for n in ('COLOR', 'MLGATE_RUN_NAME')]"
    assert told(warm, names, number=4, environment_variables={"COLOR": "red"}) == ["red", "a"]
    assert told(warm, names, number=5) == [None, "a"]
    assert len(known(warm)) == 2


WORKER = """
import pickle, sys, time
from pathlib import Path
from handlers.local_handler.handler import LocalHandler
handler = LocalHandler(home=Path(sys.argv[1]), parallel=4)
handler.prewarm()
[template] = handler._templates._templates.values()
while not template.ready():
    time.sleep(0.01)
handler.submit(pickle.load(sys.stdin.buffer))
print(template._process.pid, flush=True)
time.sleep(3600)
"""


@contextmanager
def worker(bench: Bench, task: Task, **variables: str) -> Iterator[tuple[int, int]]:
    """The process ids of another worker, which has submitted the task, and of its template."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(bench.home)],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        pickle.dump(task, process.stdin)
        process.stdin.close()
        template = int(process.stdout.readline())
        yield process.pid, template
        process.kill()
    bench.until(lambda: not exists(template), "the end of the template")


def test_nothing_of_the_hosts_settings_reaches_a_kernel(bench: Bench) -> None:
    """Not in its variables, and not in what /proc shows of them."""
    shows = "open('shown', 'w').write(repr(dict(os.environ)) + open('/proc/self/environ').read())"
    task = of_cells(bench, "import os", shows)
    secret = "s3cr3t"
    with worker(bench, task, MLGATE_TOKEN=secret, UV_INDEX_PASSWORD=secret, TOKEN=secret):
        assert bench.ended(task).status is RunStatus.SUCCEEDED
    assert was_warm(bench, task)
    shown = (bench.attempt_folder(task) / "tree" / "nb" / "shown").read_text()
    assert "MLGATE_RUN_NAME" in shown
    assert secret not in shown


def test_a_template_ends_with_its_worker_and_the_run_goes_on(bench: Bench) -> None:
    go = bench.folder / "go"
    task = of_cells(bench, WAITS.replace("True", f"not __import__('os').path.exists({str(go)!r})"))
    with worker(bench, task) as (pid, template):
        bench.until((bench.attempt_folder(task) / "tree" / "nb" / "waiting").exists)
        os.kill(pid, signal.SIGKILL)
        bench.until(lambda: not exists(template), "the end of the template")
    assert bench.see(task).status is RunStatus.RUNNING
    go.touch()
    assert bench.ended(task).status is RunStatus.SUCCEEDED
    assert was_warm(bench, task)


LEAVES = """
import multiprocessing, os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,)).start()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(3600)"])
    os._exit(0)
time.sleep(0.5)
"""


def test_a_killed_supervisor_leaves_nothing_that_the_next_look_does_not_end(warm: Bench) -> None:
    """Neither forks of its forks, which no variable tells of, nor daemons."""
    task = of_cells(warm, LEAVES, WAITS)
    assert warm.handler.submit(task)
    warm.until((warm.attempt_folder(task) / "tree" / "nb" / "waiting").exists)
    supervisor = supervisor_of(warm, task)
    found = below(supervisor)
    assert len(found) >= 5
    os.kill(supervisor, signal.SIGKILL)
    warm.until(lambda: warm.see(task).status.ended)
    warm.until(lambda: not any(map(exists, found)), "the end of every process")
    assert was_warm(warm, task)
    outcome = warm.ended(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"nb/tornado.py": "raise RuntimeError('the wrong one')"}, {}),
        ({}, {"environment_variables": {"PYTHONPATH": "lib"}}),
    ],
    ids=["a file that a new kernel would import", "a variable that leads to code"],
)
def test_where_a_fork_would_differ_the_kernel_is_started_as_a_program(
    warm: Bench, more: Mapping[str, str | bytes], fields: Mapping[str, Any]
) -> None:
    task = of_cells(warm, more=more, **fields)
    outcome = warm.run(task)
    if more:  # and so fails where it always has
        assert outcome.failure is not None
        assert outcome.failure.kind is FailureKind.ENVIRONMENT
    else:
        assert outcome.status is RunStatus.SUCCEEDED
        assert not was_warm(warm, task)
