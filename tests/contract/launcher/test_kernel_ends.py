"""Nothing that a notebook wrote is lost at its end; where something may be, a warning says so."""

from __future__ import annotations

import pytest

from tests.contract.launcher.harness import Start, notebook

WRITES = """
import atexit
file = open("plain.txt", "w")
file.write("plain")
atexit.register(lambda: open("hook.txt", "w").write("hook"))
"""
CHILDREN = {
    "joblib's workers": (
        "from joblib import Parallel, delayed\n"
        "Parallel(n_jobs=2)(delayed(abs)(i) for i in range(4))"
    ),
    "a child that ignores signals": (
        "import subprocess\nsubprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 3600'])"
    ),
    "a daemonic process": (
        "import multiprocessing, time\n"
        "multiprocessing.Process(target=time.sleep, args=(3600,), daemon=True).start()"
    ),
    "none": "",
}


@pytest.mark.parametrize("children", CHILDREN.values(), ids=CHILDREN)
def test_children_do_not_keep_a_kernel_from_its_end(run_notebook: Start, children: str) -> None:
    run = run_notebook(notebook(WRITES, children))

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == []
    assert (run.root / "plain.txt").read_text() == "plain"
    assert (run.root / "hook.txt").read_text() == "hook"


def test_a_kernel_that_does_not_end_is_killed_and_a_warning_says_so(run_notebook: Start) -> None:
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()"
    run = run_notebook(notebook(WRITES, thread))

    assert run.outcome["status"] == "succeeded"
    [warning] = run.outcome["warnings"]
    assert "was killed" in warning
    assert (run.root / "plain.txt").read_text() == "plain"
    assert not (run.root / "hook.txt").exists()


def test_collections_leave_out_what_was_imported_before(run_notebook: Start) -> None:
    """Otherwise an interpreter that ends looks through all of Jupyter several times."""
    run = run_notebook(notebook("import gc\nprint(gc.get_freeze_count() > 10_000)"))

    assert run.log.splitlines()[-1] == "True"
