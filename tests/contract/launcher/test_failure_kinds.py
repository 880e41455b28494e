"""What goes wrong in a notebook, and the failure kind, cell and message that come of it."""

from __future__ import annotations

import json

import pytest

from tests.contract.launcher.harness import Start, code, notebook

OTHER_LANGUAGE = {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("1 / 0", "code", "ZeroDivisionError: division by zero"),
        ("undefined", "code", "NameError: name 'undefined' is not defined"),
        ("print 'Python 2'", "code", "SyntaxError: "),
        ("%no_such_magic", "code", "UsageError: "),
        ("input('name?')", "code", "StdinNotImplementedError: "),
        ("import sys; sys.exit(3)", "code", "SystemExit: 3"),
        ("exit(2)", "code", "SystemExit: 2"),
        ("raise SystemExit('0')", "code", "SystemExit: 0"),
        ("raise SystemExit('')", "code", "SystemExit"),
        ("raise SystemExit('None')", "code", "SystemExit: None"),
        ("raise SystemExit(0.0)", "code", "SystemExit: 0.0"),
        ("exit('')", "code", "SystemExit"),
        ("class SystemExit(Exception): pass\nraise SystemExit", "code", "SystemExit"),
        ("import no_such_package", "dependency", "ModuleNotFoundError: No module named"),
        ("import subprocess; subprocess.run(['no-such-program'])", "dependency", "FileNotFoundErr"),
        ("from json import nope", "environment", "ImportError: cannot import name 'nope'"),
        ("open('missing.csv')", "data", "FileNotFoundError: "),
        ("import urllib.request as r; r.urlopen('http://127.0.0.1:9')", "network", "URLError: "),
        ("raise MemoryError", "out_of_memory", "MemoryError"),
    ],
)
def test_an_exception_is_classified_and_its_cell_named(
    run_notebook: Start, source: str, kind: str, message: str
) -> None:
    run = run_notebook(notebook("fine = 1", source, "never = 1"))

    assert (run.exit_code, run.outcome["status"]) == (1, "failed")
    assert run.failure["kind"] == kind
    assert run.failure["message"].startswith(message)
    assert run.failure["cell"] == 2
    assert run.statuses == ["succeeded", "failed", "not_run"]
    assert source.splitlines()[-1] in run.failure["traceback"]
    assert "\x1b" not in run.failure["traceback"] + run.failure["message"] + run.log
    assert run.failure["message"] in run.log


def test_an_exception_of_its_own_class_counts_as_what_it_is_while_a_thread_prints(
    run_notebook: Start,
) -> None:
    source = (
        "import threading\n"
        "def chatter():\n    while True: print('x' * 1000, flush=True)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
        "class Missing(FileNotFoundError): pass\nraise Missing('iris.csv')"
    )
    run = run_notebook(notebook(source))

    assert run.failure["kind"] == "data"


@pytest.mark.parametrize(
    "source",
    [
        "class V:\n    def _repr_html_(self): raise ValueError('cannot be shown')\nV()",
        "class V:\n    def _repr_png_(self): raise ValueError('cannot be shown')\n"
        "display(V())\nprint('went on')",
    ],
)
def test_an_exception_while_displaying_a_value_fails_the_cell(
    run_notebook: Start, source: str
) -> None:
    run = run_notebook(notebook("fine = 1", source, "never = 1"))

    assert run.failure["kind"] == "code"
    assert run.failure["message"] == "ValueError: cannot be shown"
    assert run.failure["cell"] == 2
    assert run.statuses == ["succeeded", "failed", "not_run"]


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (signal 9)"),
        ("import os; os._exit(3)", "exited with code 3"),
    ],
)
def test_a_kernel_that_dies_tells_how(run_notebook: Start, source: str, how: str) -> None:
    run = run_notebook(notebook("fine = 1", f"print('so far', flush=True)\n{source}"))

    assert run.failure["kind"] == "kernel_died"
    assert run.failure["message"].startswith(f"the kernel died in cell 2: {how}, peak memory ")
    assert run.failure["cell"] == 2
    assert source in run.failure["traceback"]
    assert run.statuses == ["succeeded", "failed"]


@pytest.mark.parametrize(
    "source",
    [
        "print('so far')\nimport time; time.sleep(600)",
        "print('so far')\nimport time\nwhile True:\n"
        "    try: time.sleep(600)\n    except KeyboardInterrupt: pass",
    ],
)
def test_a_cell_that_takes_too_long_is_ended_whether_it_listens_or_not(
    run_notebook: Start, source: str
) -> None:
    run = run_notebook(notebook("fine = 1", source, "never = 1"), cell_timeout_seconds=1.5)

    assert run.failure["kind"] == "timeout"
    assert run.failure["message"] == "cell 2 was not finished after 1.5 seconds"
    assert run.failure["cell"] == 2
    assert run.statuses == ["succeeded", "failed", "not_run"]
    assert "so far" in run.log


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no notebook notebook.ipynb"),
        ("{", "notebook.ipynb is not a readable notebook"),
        ("[1, 2]", "notebook.ipynb is not a readable notebook"),
        (json.dumps({"nbformat": 99, "cells": []}), "notebook.ipynb is not a readable notebook"),
        ("version https://git-lfs.github.com/spec/v1\n", "notebook.ipynb is a Git LFS pointer"),
        (notebook("1", **OTHER_LANGUAGE), "only Python notebooks can be run"),
    ],
)
def test_what_cannot_be_started_is_invalid(start: Start, content: object, message: str) -> None:
    run = start({} if content is None else {"notebook.ipynb": content}).wait()

    assert (run.exit_code, run.outcome["status"]) == (1, "failed")
    assert run.failure["kind"] == "invalid"
    assert run.failure["message"].startswith(message)
    assert run.failure["cell"] is None


def test_a_working_directory_that_is_not_there_is_invalid(run_notebook: Start) -> None:
    run = run_notebook(notebook("1"), directory="nowhere")

    assert run.failure["kind"] == "invalid"
    assert "nowhere" in run.failure["message"]


def test_a_parameter_that_is_no_name_is_invalid(run_notebook: Start) -> None:
    run = run_notebook(notebook("1"), parameters={"learning-rate": 1})

    assert run.failure["kind"] == "invalid"
    assert "learning-rate" in run.failure["message"]


def test_the_own_module_and_its_missing_name_are_a_code_failure(run_notebook: Start) -> None:
    """The name was never there: no version of a package is to blame."""
    run = run_notebook(notebook("from helpers import nope"), files={"helpers.py": "a = 1"})

    assert run.failure["kind"] == "code"


def test_a_typo_in_a_call_of_the_own_module_is_a_code_failure(run_notebook: Start) -> None:
    """Wherever the module lies: the kernel knows its file."""
    source = "import sys; sys.path.append('lib')\nimport areas\nareas.cirle()"
    run = run_notebook(notebook(source), files={"lib/areas.py": "def circle(): return 3"})

    assert run.failure["kind"] == "code"


def test_a_group_names_its_first_member(run_notebook: Start) -> None:
    run = run_notebook(notebook("raise ExceptionGroup('two', [FileNotFoundError('a.csv')])"))

    assert run.failure["kind"] == "data"
    assert run.failure["message"].endswith("FileNotFoundError: a.csv")


def test_names_that_the_notebook_has_taken_do_not_matter(run_notebook: Start) -> None:
    source = "open = print = type = str = list = exec = None\nimport azure.no_such_part"
    run = run_notebook(notebook(source))

    assert run.failure["kind"] == "dependency"


def test_a_deep_cause_is_found_behind_a_general_exception(run_notebook: Start) -> None:
    source = (
        "try:\n    open('missing.csv')\nexcept OSError as e:\n"
        "    raise RuntimeError('cannot load') from e"
    )
    run = run_notebook(notebook(source))

    assert run.failure["kind"] == "data"
    assert run.failure["message"] == "RuntimeError: cannot load"


def test_an_expected_error_lets_the_notebook_go_on(run_notebook: Start) -> None:
    run = run_notebook(notebook(code("1 / 0", "raises-exception"), "print('after')"))

    assert run.outcome["status"] == "succeeded"
    assert run.statuses == ["succeeded", "succeeded"]
    assert run.outcome["warnings"] == []
    assert "after" in run.log


def test_an_expected_error_that_does_not_come_is_a_finding(run_notebook: Start) -> None:
    run = run_notebook(notebook("1", code("1", "raises-exception")))

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == ["cell 2 is tagged raises-exception but raised nothing"]
