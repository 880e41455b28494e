"""A run that is interrupted keeps what there is, and no process outlives any run."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.contract.launcher.harness import Run, Start, notebook


def test_nothing_that_a_cell_starts_outlives_the_run(run_notebook: Start) -> None:
    """Not even what left the kernel's session."""
    source = (
        "import subprocess as s\n"
        "for new in (False, True):\n"
        "    print('pid', s.Popen(['sleep', '600'], start_new_session=new).pid)"
    )
    run = run_notebook(notebook(source))

    pids = [int(line.split()[1]) for line in run.log.splitlines() if line.startswith("pid")]
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_run_and_keeps_what_there_is(start: Start, number: int) -> None:
    source = (
        "import os, time\nopen('outputs/part.txt', 'w').write('x')\n"
        "print('pid', os.getpid(), flush=True)\ntime.sleep(600)"
    )
    run = start({"notebook.ipynb": notebook("1", source, "3")})
    run.wait_for(lambda run: "pid" in run.log)
    run.process.send_signal(number)
    run.wait()

    assert (run.exit_code, run.outcome["status"]) == (1, "canceled")
    assert run.failure is None
    assert run.outcome["outputs"] == ["outputs/part.txt"]
    assert run.statuses == ["succeeded", "failed", "not_run"]
    assert "pid" in run.html
    pid = next(line.split()[1] for line in run.log.splitlines() if line.startswith("pid"))
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("kind", ["notebook", "training"])
def test_a_run_that_prints_without_end_hears_a_signal(start: Start, kind: str) -> None:
    endless = "while True: print('x' * 99_999)"
    files = {"notebook.ipynb": notebook(endless), "endless.py": endless}
    command = f"{sys.executable} endless.py"
    given = {"kind": kind, **({"command": command} if kind == "training" else {})}
    run = start(files, **given)
    run.wait_for(lambda run: (run.output / "log.txt").exists() and len(run.log) > 1_000_000)
    run.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    run.wait()
    print(f"ended after {time.monotonic() - asked:.1f} s")  # noqa: T201 -- its figure

    assert run.outcome["status"] == "canceled"


def test_a_signal_before_the_first_cell_cancels_too(start: Start) -> None:
    run = start({"notebook.ipynb": notebook("1")})
    run.wait_for(lambda run: (run.output / "executed.ipynb").exists())
    run.process.send_signal(signal.SIGTERM)
    run.wait()

    assert (run.exit_code, run.outcome["status"]) == (1, "canceled")
    assert run.statuses == ["not_run"]


def test_a_launcher_that_is_killed_takes_its_kernel_along_and_leaves_evidence(
    start: Start,
) -> None:
    source = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)"
    run = start({"notebook.ipynb": notebook("first = 1", source)})
    run.wait_for(lambda run: "pid" in run.log)

    def saved(run: Run) -> bool:
        return len(run.cells) == 2 and bool(run.cells[1].outputs)

    run.wait_for(saved)
    pid = next(line.split()[1] for line in run.log.splitlines() if line.startswith("pid"))
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()

    assert not (run.output / "outcome.json").exists()
    assert run.statuses == ["succeeded", "not_run"]
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    pytest.fail("the kernel lives on")
