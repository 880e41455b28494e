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


OBJECTS = {
    "an object": (
        "class Writes:\n    def __del__(self):\n        open('wrote.txt', 'w').close()\n"
        "found = Writes()"
    ),
    "a finalizer": (
        "import weakref\nclass Own: pass\nfound = Own()\n"
        "weakref.finalize(found, lambda: open('wrote.txt', 'w').close())"
    ),
    "a hook that imports": (
        "import atexit\ndef hook():\n    import json, ipykernel, wave\n"
        "    json.dump(1, open('wrote.txt', 'w'))\natexit.register(hook)"
    ),
    "a thread": (
        "import threading, time\ndef write():\n    time.sleep(0.3)\n    import json\n"
        "    open('wrote.txt', 'w').write(json.dumps(1))\nthreading.Thread(target=write).start()"
    ),
    "an executor": (
        "import concurrent.futures, time\npool = concurrent.futures.ThreadPoolExecutor(1)\n"
        "pool.submit(lambda: (time.sleep(0.3), open('wrote.txt', 'w').close()))"
    ),
}
# Kept by a module that was imported before the notebook, which the notebook's own end leaves alone,
# with all that they need then.
KEPT = {
    "an object": (
        "import json, os\nclass Writes:\n"
        "    def __del__(self, make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "        make(path)\njson.kept = Writes()\ndel Writes"
    ),
    "a generator": (
        "import json, os\ndef write(make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "    try:\n        yield 1\n    finally:\n        make(path)\n"
        "json.kept = write()\nnext(json.kept)\ndel write"
    ),
    "a generator that another one waits for": (
        "import json, os\ndef write(make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "    try:\n        yield 1\n    finally:\n        make(path)\n"
        "def outer(inner):\n    yield from inner\n"
        "json.kept = outer(write())\nnext(json.kept)\ndel write, outer"
    ),
    "a generator that waits for another one": (
        "import json, os\ndef write(inner, make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "    try:\n        yield from inner\n    finally:\n        make(path)\n"
        "json.kept = write(each for each in (1, 2))\nnext(json.kept)\ndel write"
    ),
    "an object beside a class that cannot be asked": (
        "import json, os\ntable = {}\nclass Meta(type):\n    def __getattr__(cls, name):\n"
        "        raise (AttributeError if name in table else KeyError)(name)\n"
        "class Thing(metaclass=Meta): pass\nclass Writes:\n"
        "    def __del__(self, make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "        make(path)\n"
        "json.kept, json.JSONEncoder.kept = Thing(), Writes()\ndel Writes"
    ),
    "an iterator that a generator waits for": (
        "import json, os\nclass Writes:\n    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        return 1\n"
        "    def close(self, make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "        make(path)\n"
        "def outer(inner):\n    yield from inner\n"
        "json.kept = outer(Writes())\nnext(json.kept)\ndel Writes, outer"
    ),
    "a generator that a hook goes on with": (
        "import atexit, json, os\ndef write(make=os.mknod, path=os.path.abspath('wrote.txt')):\n"
        "    yield 1\n    try:\n        yield 2\n    finally:\n        make(path)\n"
        "json.kept = write()\nnext(json.kept)\natexit.register(next, json.kept)\ndel write"
    ),
    "a file that a thread writes to": (
        "import json, os, threading, time\njson.kept = open(os.devnull, 'w')\n"
        "def write(json=json, path=os.path.abspath('wrote.txt')):\n    time.sleep(0.5)\n"
        "    json.kept = open(path, 'w')\n    json.kept.write('end')\n"
        "threading.Thread(target=write).start()"
    ),
}
ENDLESS = """
import threading
def endless():
    while True:
        import json, os.path, ipykernel.kernelapp
        json.dumps(os.path.sep)
for _ in range(4):
    threading.Thread(target=endless, daemon=True).start()
"""


@pytest.mark.parametrize("made", OBJECTS.values(), ids=OBJECTS)
def test_what_acts_at_the_end_of_an_interpreter_acts(run_notebook: Start, made: str) -> None:
    run = run_notebook(notebook(made))

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == []
    assert (run.root / "wrote.txt").exists()
    assert "Traceback" not in run.log
    assert "ignored" not in run.log


@pytest.mark.parametrize("made", KEPT.values(), ids=KEPT)
def test_what_acts_at_the_end_acts_wherever_it_is_kept(run_notebook: Start, made: str) -> None:
    run = run_notebook(notebook(SHORT, made))

    assert run.outcome["status"] == "succeeded"
    assert (run.root / "wrote.txt").exists()
    by_thread = "thread" in made
    assert (run.root / "short.txt").exists() is by_thread
    assert (run.root / "wrote.txt").read_text() == ("end" if by_thread else "")


SHORT = """
import sys
def hook(event, given):
    if event == "ctypes.dlsym" and "Py_IncRef" in given:
        open("short.txt", "w").close()
sys.addaudithook(hook)
"""


@pytest.mark.parametrize(
    ("cell", "short"),
    [
        ("import csv, decimal, json\nprint(json.dumps(1))", True),
        ("import threading\nthreading.Thread(target=print).start()", True),
        (
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
            False,
        ),
        (OBJECTS["an object"], True),
        ("found = (each for each in range(3))\nnext(found)", True),
        (
            "class Forward:  # which matplotlib keeps once it has drawn a formula\n"
            "    __module__ = 'pyparsing.core'\n    def __del__(self): pass\nfound = Forward()",
            True,
        ),
    ],
    ids=[
        "a plain one",
        "a thread that ended",
        "a thread that goes on",
        "an object that acts before",
        "a generator that does not act",
        "an object that only warns",
    ],
)
def test_what_was_imported_before_is_left_unless_something_may_act(
    run_notebook: Start, cell: str, short: bool
) -> None:
    run = run_notebook(notebook(SHORT, cell))

    assert run.outcome["status"] == "succeeded"
    assert (run.root / "short.txt").exists() is short


def test_threads_that_go_on_do_not_disturb_the_end(run_notebook: Start) -> None:
    run = run_notebook(notebook(ENDLESS))

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == []
    assert run.log.splitlines()[1:] == []
